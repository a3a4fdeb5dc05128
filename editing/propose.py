"""A caption for a photo, made of the model's own words and chosen by the model itself (see `witness`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from backbones.backbone import Backbone
from backbones.view import View
from editing.witness import noise_errors

COLOR_WORDS = "colours"  # the kind of a model's words that say what colour a thing has
NO_THINGS = (COLOR_WORDS, "phrases", "anything")  # kinds that name nothing in particular
THING_LEVELS = (0.45, 0.35, 0.6, 0.8, 0.4, 0.55, 0.3, 0.9)  # shares of the training timesteps
COLOR_LEVELS = (0.9, 0.6, 0.75, 0.4)  # a colour is told earlier, while little but it can be seen
FINALISTS = 6  # things that are looked at more closely
ROUND = 32  # rows that a round takes where one level of all its captions takes fewer
MOST_LEVELS = 4  # of a round
LEAST_GAIN = 0.01  # this and the next chosen on train photos, see benchmarks.proposals
LEAST_COLOR_GAIN = 0.01


@dataclass(frozen=True)
class Proposal:
    """A caption that the model finds for a photo.

    A gain is the share by which the noise is predicted better with a word than without it: 0 where the word says
    nothing, and below where it misleads.

    Attributes:
        caption: Such as "a photo of a red rose".
        thing: Its noun.
        color: Its colour; None where no colour stands out.
        gain: Of the noun, against the empty caption.
        color_gain: Of the best colour, against the caption without one; 0 where the model has no words for colours.
    """

    caption: str
    thing: str
    color: str | None
    gain: float
    color_gain: float


def propose_caption(
    backbone: Backbone,
    view: View,
    *,
    least: float = LEAST_GAIN,
    least_color: float = LEAST_COLOR_GAIN,
    seed: int = 0,
) -> Proposal | None:
    """A caption of a model's own words that helps it to see a photo; None where none does, or where it lists no words.

    Coarse to fine: every noun at one noise level or a few, then the best of them, singular and plural, at others, then
    the colours of the best. The gains are measured with noise by which nothing was chosen before.

    Args:
        backbone: The model.
        view: What it sees of the photo.
        least: The gain of a noun below which nothing is proposed.
        least_color: The gain of a colour below which none is.
        seed: Of the noise.

    Example:
        >>> view = look_at(backbone, open_photo("rose.jpg"))
        >>> propose_caption(backbone, view).caption
        'a photo of a red rose'
    """
    things = things_of(backbone.words)
    if not things:
        return None
    thing, gain = _best_thing(backbone, view.latents, things, seed)
    if gain < least:
        return None
    colors, plain = list(backbone.words.get(COLOR_WORDS, ())), phrase(thing)
    if not colors:
        return Proposal(plain, thing, None, gain, 0.0)
    captions = [phrase(thing, color) for color in colors]
    gains = caption_gains(backbone, view.latents, captions, plain, _share(COLOR_LEVELS, len(captions)), seed + 2)
    best = int(gains.argmax())
    color, color_gain = colors[best], float(gains[best])
    if color_gain < least_color:
        return Proposal(plain, thing, None, gain, color_gain)
    return Proposal(captions[best], thing, color, gain, color_gain)


def caption_gains(
    backbone: Backbone, latents: torch.Tensor, captions: Sequence[str], without: str, levels: Sequence[float], seed: int
) -> torch.Tensor:
    """The share by which each caption's loss, over all levels, is below that of the caption `without`: `(N,)`."""
    losses = noise_errors(backbone, latents, [without, *captions], levels, seed=seed).mean(0)
    return 1 - losses[1:] / losses[0]


def _best_thing(
    backbone: Backbone, latents: torch.Tensor, things: Sequence[tuple[str, ...]], seed: int
) -> tuple[str, float]:
    """The noun that helps most, in its better form, and its gain in the second round."""
    levels = _share(THING_LEVELS, len(things))
    coarse = caption_gains(backbone, latents, [phrase(forms[0]) for forms in things], "", levels, seed)
    finalists = coarse.argsort(descending=True)[:FINALISTS].tolist()
    forms = [(form, float(coarse[i])) for i in finalists for form in things[i]]
    more = _share(THING_LEVELS[len(levels) :], len(forms), least=2)
    fine = caption_gains(backbone, latents, [phrase(form) for form, _ in forms], "", more, seed + 1)
    both = [len(levels) * first + len(more) * float(second) for (_, first), second in zip(forms, fine, strict=True)]
    best = both.index(max(both))
    return forms[best][0], float(fine[best])


def _share(levels: Sequence[float], captions: int, least: int = 1) -> Sequence[float]:
    """As many of the levels as a round has rows for."""
    return levels[: min(MOST_LEVELS, max(least, ROUND // (1 + captions)))]


def things_of(words: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """A model's nouns, each with its plural where the model has that too."""
    nouns = [word for kind, found in words.items() if kind not in NO_THINGS for word in found]
    plurals = {noun: plural for noun in nouns for plural in plurals_of(noun) if plural in nouns}
    heads = [noun for noun in dict.fromkeys(nouns) if noun not in plurals.values()]
    return [(noun, plurals[noun]) if noun in plurals else (noun,) for noun in heads]


def plurals_of(noun: str) -> list[str]:
    """What a noun's plural may be in English."""
    return [noun + "s", noun + "es", *([noun[:-1] + "ies"] if noun.endswith("y") else [])]


def phrase(noun: str, color: str | None = None) -> str:
    """A plain caption, such as "a photo of an orange tulip"; what ends as plurals do has no article."""
    described = f"{color} {noun}" if color else noun
    several = noun.endswith("s") and not noun.endswith("ss")
    article = "" if several else "an " if described[0] in "aeiou" else "a "
    return f"a photo of {article}{described}"
