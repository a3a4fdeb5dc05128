"""A caption for a photo, of the words of a model: the thing by what it sees (see `witness`), the colour by pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import interpolate

from backbones.backbone import Backbone
from backbones.view import View
from editing.colors import color_named, share_of_color
from editing.witness import noise_errors
from masks.aggregate import normalize, word_heat
from masks.record import record_maps

COLOR_WORDS = "colours"  # the kind of a model's words that say what colour a thing has
GENERIC_WORDS = "anything"  # the kind of those that may stand for every thing
NO_THINGS = (COLOR_WORDS, GENERIC_WORDS, "phrases")  # kinds that name nothing in particular
COARSE_LEVELS = (0.45, 0.3)  # shares of the training timesteps at which all things are looked at
FINE_LEVELS = (0.35, 0.4, 0.25, 0.5)  # at which the finalists are
MAP_LEVELS = (0.5, 0.3)  # at which the thing's place is looked for
FINALISTS = 6  # things that are looked at more closely
LEAST_GAIN = 0.01  # this and the next chosen on train photos, see benchmarks.proposals
LEAST_COLOR_SHARE = 0.5


@dataclass(frozen=True)
class Proposal:
    """A caption that the model finds for a photo.

    Attributes:
        caption: Such as "a photo of a red rose".
        thing: Its noun.
        color: Its colour; None where no colour stands out.
        gain: The share by which the noise is predicted better with the noun than with "object", or with no caption
            where the model has no such word: 0 where the noun says nothing more, and below where it misleads.
        color_share: Of the pixels where the model sees the thing, how many the best colour suits, in [0, 1]; 0 where
            the model has no words for colours.
    """

    caption: str
    thing: str
    color: str | None
    gain: float
    color_share: float


def propose_caption(
    backbone: Backbone,
    view: View,
    *,
    least: float = LEAST_GAIN,
    least_color: float = LEAST_COLOR_SHARE,
    seed: int = 0,
) -> Proposal | None:
    """A caption of a model's own words that helps it to see a photo; None where none does, or where it lists no words.

    Coarse to fine: every noun at a few noise levels, then the best of them, singular and plural, at others, with noise
    by which nothing was chosen before. The colour is that of most pixels where the model sees the thing.

    Args:
        backbone: The model.
        view: What it sees of the photo.
        least: The gain of a noun below which nothing is proposed.
        least_color: The share of a colour below which none is named.
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
    color, share = _best_color(backbone, view, thing, seed + 2)
    named = color if share >= least_color else None
    return Proposal(phrase(thing, named), thing, named, gain, share)


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
    generic = phrase("object") if "object" in backbone.words.get(GENERIC_WORDS, ()) else ""
    coarse = caption_gains(backbone, latents, [phrase(forms[0]) for forms in things], generic, COARSE_LEVELS, seed)
    finalists = coarse.argsort(descending=True)[:FINALISTS].tolist()
    forms = [form for i in finalists for form in things[i]]
    fine = caption_gains(backbone, latents, [phrase(form) for form in forms], generic, FINE_LEVELS, seed + 1)
    best = int(fine.argmax())
    return forms[best], float(fine[best])


def _best_color(backbone: Backbone, view: View, thing: str, seed: int) -> tuple[str | None, float]:
    """The model's word for the colour of most pixels where it sees a thing, and their share."""
    colors = {word: basic for word in backbone.words.get(COLOR_WORDS, ()) if (basic := color_named(word))}
    if not colors:
        return None, 0.0
    pixels = (view.pixels[0].permute(1, 2, 0) * 127.5 + 127.5).round().byte().numpy()
    inside = pixels[_place_of(backbone, view, thing, seed)]
    shares = {word: share_of_color(inside, [basic]) for word, basic in colors.items()}
    best = max(shares, key=lambda word: shares[word])
    return best, shares[best]


def _place_of(backbone: Backbone, view: View, thing: str, seed: int) -> np.ndarray:
    """Where the model sees a thing, by the attention to its words in the noised photo: `(h, w)` bool."""
    caption = backbone.parse(phrase(thing))
    positions = [position for word in caption.find(thing) for position in word.positions]
    timesteps = torch.tensor([round(share * (len(backbone.levels) - 1)) for share in MAP_LEVELS])
    noise = torch.randn(len(timesteps), *view.latents.shape[1:], generator=torch.Generator().manual_seed(seed))
    level = backbone.levels.at(timesteps.to(backbone.device))
    noisy = level.signal * view.latents + level.noise * noise.to(view.latents)
    maps = record_maps(backbone, noisy, timesteps.tolist(), backbone.condition([caption]))
    heat = normalize(word_heat(maps, positions).float().cpu())
    return (interpolate(heat[None, None], view.pixels.shape[-2:], mode="bilinear")[0, 0] > 0.5).numpy()


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
