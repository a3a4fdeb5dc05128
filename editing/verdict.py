"""What a person needs to judge an edit: a few figures, and warnings in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from backbones.text import Caption
from editing.advice import words_to_replace
from editing.align import Alignment, new_colors, new_words
from editing.controls import PROMPT_TO_PROMPT
from editing.trust import OF_THE_PLACE, TrustModel

FAR_UNDER_CEILING = 3.0  # dB
NEARLY_ALL = 0.95  # share of the frame
NO_CHANGE = 1.0  # per cent of the full range
SURE = 0.8  # trust, from which on no better attempt is looked for; a likelihood, and so the same with every model
FAR_BEYOND = 0.4  # as a power of two; of the train photos' edits, no good one's mask goes that far beyond its map


def psnr(image: np.ndarray, reference: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1], `(H, W, 3)`, over the pixels of `where` `(H, W)` alone.

    Identical images give infinity; an empty `where` gives NaN.
    """
    errors = np.square(image.astype(np.float64) - reference.astype(np.float64)).mean(-1)
    errors = errors if where is None else errors[where]
    if not errors.size:
        return float("nan")
    mean = float(errors.mean())
    return float("inf") if mean == 0 else -10 * float(np.log10(mean))


def measure(
    *,
    working: np.ndarray,
    ceiling: np.ndarray,
    guided: np.ndarray | None,
    source: np.ndarray,
    edited: np.ndarray,
    working_mask: np.ndarray,
    photo: np.ndarray,
    result: np.ndarray,
    mask: np.ndarray,
) -> dict[str, float]:
    """The figures of an edit.

    Args:
        working: The photo as the model saw it, `(h, w, 3)` in [0, 1], like the next three.
        ceiling: Encoded and decoded, nothing else.
        guided: Where guided sampling with the photo's caption ends on its own; None where that is not known.
        source: Where the source of the edit arrived.
        edited: The edit.
        working_mask: `(h, w)` bool.
        photo: The whole photo, `(H, W, 3)` uint8, like `result`.
        result: The edited photo.
        mask: `(H, W)` uint8.

    Returns:
        `ceiling_psnr` and `reconstruction_psnr` (of `guided`, NaN where there is none) in dB against the photo;
        `outside_psnr` in dB of the edit against the source outside the mask, before compositing; `mask_share` and
        `change_inside` in per cent (of the photo; of the full range, mean over the masked pixels).
    """
    return {
        "ceiling_psnr": psnr(ceiling, working),
        "reconstruction_psnr": float("nan") if guided is None else psnr(guided, working),
        "outside_psnr": psnr(edited, source, ~working_mask),
        **measure_change(photo, result, mask),
    }


def measure_change(photo: np.ndarray, result: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """How much of the photo is masked and how much changed there: `mask_share` and `change_inside`, in per cent.

    Args:
        photo: `(H, W, 3)` uint8, like `result`.
        result: The edited photo.
        mask: `(H, W)` uint8.
    """
    inside = mask > 0
    change = np.abs(result[inside].astype(np.float64) - photo[inside]).mean() / 2.55 if inside.any() else 0.0
    return {"mask_share": 100 * float(inside.mean()), "change_inside": float(change)}


def warn(
    metrics: dict[str, float],
    alignment: Alignment,
    known_words: frozenset[str] | None,
    *,
    local_blend: bool = True,
    held_back: bool = False,
    reweighted: bool = False,
    exact: bool = True,
    control: str = "replace",
    attempts: int = 1,
    model: TrustModel | None = None,
) -> list[str]:
    """Warnings in plain words; an empty list where nothing looks wrong.

    Args:
        metrics: From `measure` and `signs.read_signs`.
        alignment: Of the two captions.
        known_words: What the model was trained on, where that is known.
        local_blend: Whether a mask was asked for at all.
        held_back: Whether the user keeps anything from the edit, by words or a mask.
        reweighted: Whether the weight of a word is what was asked for.
        exact: Whether the source was replayed, so that how guided sampling does without that does not matter.
        control: By which the edit was made, since some settings act with some controls alone.
        attempts: How many were allowed.
        model: That weighs the signs, where there is one.
    """
    warnings = warn_of_captions([alignment.source, alignment.target], known_words)
    if not exact and metrics["reconstruction_psnr"] < metrics["ceiling_psnr"] - FAR_UNDER_CEILING:
        warnings.append(
            f"guided sampling with the photo's own caption comes to {metrics['reconstruction_psnr']:.1f} dB, far under "
            f"the autoencoder's {metrics['ceiling_psnr']:.1f} dB; describe the photo more closely, or take "
            "inversion='null_text_search' and more max_inner_steps"
        )
    if metrics["mask_share"] == 0:
        warnings.append(_why_empty(alignment, local_blend, held_back, reweighted))
    elif local_blend and _covers_nearly_all(metrics):
        what = "photo" if metrics["mask_share"] >= 100 * NEARLY_ALL else "part of the photo that was looked at"
        warnings.append(f"the mask covers nearly the whole {what}; raise mask_threshold or name blend_words")
    elif local_blend and metrics["beyond_map"] > FAR_BEYOND:
        times = 2 ** metrics["beyond_map"]
        warnings.append(
            f"the mask takes {times:.1f} times the share of the photo that the words' map does, so it may have taken "
            "the background; look at the mask, raise mask_threshold, or paint an exclude_mask"
        )
    doubt = _doubt_of(metrics, model)
    if metrics["mask_share"] > 0 and metrics["change_inside"] < NO_CHANGE:
        warnings.append(f"the edit changed almost nothing; {_or(_freer(control))}")
    elif model is not None and doubt == "faint":
        further = ["allow attempts=3"] if control in PROMPT_TO_PROMPT and attempts < 3 else []
        warnings.append(_said_of(model.measured(metrics), metrics, alignment, _stronger(control), further))
    elif doubt == "unsure" and not (local_blend and _is_wide(metrics)):  # else that was said
        warnings.append(
            f"the mask fits the words' map badly ({metrics['fits_map']:.0f} %), so it may miss something or take in "
            "too much; look at the mask, leave mask_threshold at its default, name blend_words, or paint an "
            "include_mask or exclude_mask"
        )
    return warnings


def trouble_of(
    metrics: Mapping[str, float], model: TrustModel | None, *, local_blend: bool = True, least: float = 0.0
) -> str | None:
    """What seems to have gone wrong with an edit: `empty`, `wide`, `unsure` (of its mask) or `faint`; None if nothing.

    Args:
        metrics: From `measure` and `signs.read_signs`.
        model: That weighs the signs, where there is one.
        local_blend: Whether a mask was asked for at all.
        least: The trust that is asked for, where that is more than what the model warns below.
    """
    if metrics["mask_share"] == 0:
        return "empty"
    if local_blend and _is_wide(metrics):
        return "wide"
    if metrics["change_inside"] < NO_CHANGE:
        return "faint"
    return _doubt_of(metrics, model, least)


def _doubt_of(metrics: Mapping[str, float], model: TrustModel | None, least: float = 0.0) -> str | None:
    """What makes an edit doubtful: its mask alone (`unsure`), or what came of it (`faint`); None where it is not."""
    if model is None or not _is_doubtful(metrics, model, least):
        return None
    elsewhere, parts = {**metrics, **dict.fromkeys(OF_THE_PLACE, math.nan)}, model.measured(metrics)
    is_of_the_place = min(parts, key=lambda name: parts[name]) in OF_THE_PLACE and not _is_doubtful(
        elsewhere, model, least
    )
    return "unsure" if is_of_the_place else "faint"


def _is_wide(metrics: Mapping[str, float]) -> bool:
    """Whether the mask takes far too much."""
    return _covers_nearly_all(metrics) or metrics["beyond_map"] > FAR_BEYOND


def _covers_nearly_all(metrics: Mapping[str, float]) -> bool:
    """Whether the mask holds nearly all that the model saw of the photo, though the user has painted less."""
    painted = metrics.get("painted_of_seen", 0.0)
    return metrics.get("mask_of_seen", metrics["mask_share"]) >= 100 * NEARLY_ALL > painted


def _is_doubtful(metrics: Mapping[str, float], model: TrustModel, least: float) -> bool:
    """Whether an edit is not to be trusted; False where nothing was edited, or nothing says how it came out."""
    return metrics["mask_share"] > 0 and model.trust(metrics) < max(model.warn_below, least)


def _said_of(
    parts: Mapping[str, float],
    metrics: Mapping[str, float],
    alignment: Alignment,
    stronger: Sequence[str],
    further: Sequence[str],
) -> str:
    """What speaks most against a result in plain words, and what to try.

    Args:
        parts: Of the trust, those of what was measured.
        metrics: Of the edit.
        alignment: Of the two captions.
        stronger: What draws more of what was asked.
        further: What else may help.
    """
    parts = {name: part for name, part in parts.items() if name not in OF_THE_PLACE}
    text = " ".join(word.text for word in new_words(alignment)) or "what was asked"
    worst = min(parts, key=lambda name: parts[name])
    if parts[worst] >= 0:
        tried = _or(["look closely", *further])
        return f"edits such as this one, to {text!r}, seldom come out with this model; {tried}"
    if worst == "asked_color":
        colors = " ".join(word.text for word in new_colors(alignment))
        return f"only {metrics[worst]:.0f} % of what was masked came out {colors}; {_or([*stronger, *further])}"
    return f"the model itself hardly sees {text!r} in the result; {_or([*stronger, *further])}"


def _freer(control: str) -> list[str]:
    """What lets an edit go further from the photo."""
    if control in PROMPT_TO_PROMPT:
        return ["lower cross_replace or self_replace", "reweight the new word"]
    return _stronger(control)


def _stronger(control: str) -> list[str]:
    """What draws more of what was asked."""
    if control in PROMPT_TO_PROMPT:
        return ["raise emphasis or guidance_scale", "lower self_replace"]
    return ["raise guidance_scale", "take control='replace'"]


def _or(ways: Sequence[str]) -> str:
    """Several things to try, the last after an "or"."""
    return ", or ".join([", ".join(ways[:-1]), ways[-1]] if ways[1:] else ways)


def _why_empty(alignment: Alignment, local_blend: bool, held_back: bool, reweighted: bool) -> str:
    """Why nothing was edited, and what to do about it."""
    if not reweighted and alignment.changes_nothing:
        return "nothing was edited, since the new caption says what the old one does; change a word, or reweight one"
    if not reweighted and alignment.only_moves:
        return (
            "nothing was edited, since the new caption has the old one's words in another order, which moves nothing "
            "in the photo; swap words for others"
        )
    ways = ["protect or exclude less"] if held_back else []
    ways += ["name blend_words or lower mask_threshold"] if local_blend else []
    return f"the mask is empty, so nothing was edited; {', or '.join(ways)}"


def warn_of_captions(captions: Sequence[Caption], known_words: frozenset[str] | None) -> list[str]:
    """Warnings of what the model cannot read or was never shown."""
    warnings = []
    for caption in captions:
        if caption.cut:
            warnings.append(
                f"the caption {caption.text!r} is longer than the model's {len(caption.input_ids)} tokens; "
                f"ignored from {caption.cut[0]!r} on"
            )
    unknown = [] if known_words is None else words_to_replace(captions, known_words)
    if unknown:
        warnings.append(
            f"this model was never shown {', '.join(unknown)}; it may draw anything there "
            "(`edit-real models` lists its words)"
        )
    return warnings


def format_metrics(metrics: Mapping[str, float]) -> str:
    """The figures of an edit in one line, without those that do not apply."""
    units = {
        "ceiling_psnr": ("autoencoder's ceiling", "dB"),
        "reconstruction_psnr": ("guided sampling without replay", "dB"),
        "outside_psnr": ("outside the mask before compositing", "dB"),
        "mask_share": ("mask", "% of the photo"),
        "change_inside": ("change inside", "%"),
    }
    known = {key: value for key, value in metrics.items() if not math.isnan(value)}
    parts = [f"{label} {known[key]:.1f} {unit}" for key, (label, unit) in units.items() if key in known]
    trust = [f"trust {known['trust']:.0%}"] if "trust" in known else []
    return " · ".join(trust + parts)
