"""What tells whether an edit came out, measured without anyone who knows the answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence

import cv2
import numpy as np
import torch
from PIL import Image

from backbones.backbone import Backbone
from backbones.pixels import to_pixels
from backbones.text import Word
from backbones.view import View
from editing.align import Alignment, changed_words, is_color, new_colors, new_words
from editing.colors import color_named, share_of_color
from editing.plan import EditPlan
from editing.witness import gain, noise_errors
from masks.aggregate import AttentionMaps, normalize, word_heat
from masks.binarize import otsu_threshold
from masks.user_mask import shares

MOST_PIXELS = 20_000  # that colours are counted in


def read_signs(
    backbone: Backbone,
    view: View,
    plan: EditPlan,
    maps: AttentionMaps,
    *,
    result: np.ndarray,
    mask: np.ndarray,
    drawn: np.ndarray,
    source: np.ndarray,
    working_mask: np.ndarray,
) -> dict[str, float]:
    """All signs of one edit, by name; NaN for those that do not apply to it.

    Args:
        backbone: The model.
        view: Of the photo.
        plan: Of the edit.
        maps: The attention of the old caption over the photo.
        result: The edited photo, `(H, W, 3)` uint8.
        mask: `(H, W)` uint8.
        drawn: What the model drew, `(h, w, 3)` in [0, 1].
        source: What it draws of the photo, the same.
        working_mask: `(h, w)` bool.
    """
    geometry, painted, photo = view.geometry, plan.region.include, np.asarray(view.photo.image)
    masked = geometry.crop(mask)
    seen = what_the_model_sees(backbone, view, plan.alignment, Image.fromarray(result), mask)
    asks = asks_for_a_thing(plan.alignment, plan.colors)
    words = plan.region.source_words if painted is None else ()  # what is painted, no map need know
    of_map = of_the_map(maps, words, plan.mask_spread, masked)
    return {
        **seen,
        "mask_of_seen": 100 * float((masked > 0).mean()),
        "painted_of_seen": 0.0 if painted is None else 100 * float(geometry.crop(painted).mean()),
        "asks_thing": float(asks),
        **{f"thing_{name}": seen[name] if asks else math.nan for name in ("seen", "seen_early")},
        **of_the_mask(mask),
        **of_map,
        "fits_map": of_map["fits_map"] if _is_of_its_map(plan) else math.nan,
        **of_the_color(plan.alignment, photo, result, mask),
        **of_the_detail(drawn, source, working_mask),
    }


def _is_of_its_map(plan: EditPlan) -> bool:
    """Whether the mask is to be where the old words are in the photo: all of that, and nothing else."""
    region, settings = plan.region, plan.settings
    elsewhere = region.include is not None or region.added_words or settings.mask_grows
    return settings.local_blend and not elsewhere and not region.holds_back


def what_the_model_sees(
    backbone: Backbone, view: View, alignment: Alignment, image: Image.Image, mask: np.ndarray
) -> dict[str, float]:
    """The model asked of the result, under the mask, which caption it sees there.

    Args:
        backbone: The model.
        view: Of the photo.
        alignment: Of the two captions.
        image: The result, of the photo's size.
        mask: `(H, W)` uint8.

    Returns:
        `seen`, by how many per cent the new caption predicts the result's noise better than the old one does;
        `seen_early`, the same at the noisiest level alone, where little but the kind of thing is told. NaN where the
        mask is empty or the captions say the same.
    """
    weight = torch.from_numpy(shares(view.geometry.crop(mask), *view.latents.shape[-2:]) / 255)
    if alignment.changes_nothing or not weight.sum() > 0:
        return dict.fromkeys(("seen", "seen_early"), math.nan)
    edited = backbone.encode(to_pixels(dataclasses.replace(view.photo, image=image.convert("RGB")), view.geometry))
    errors = noise_errors(backbone, edited, (alignment.source, alignment.target), weight=weight)
    return {"seen": 100 * gain(errors), "seen_early": 100 * gain(errors[-1:])}


def asks_for_a_thing(alignment: Alignment, colors: Collection[str] = ()) -> bool:
    """Whether the new caption brings a word that is no colour; `colors` are further words for those."""
    return len(new_colors(alignment, colors)) < len(new_words(alignment))


def of_the_mask(mask: np.ndarray) -> dict[str, float]:
    """`one_thing`, the per cent of the mask that its largest connected part holds; NaN where it is empty."""
    small = _small(mask) > 127
    if not small.any():
        return {"one_thing": math.nan}
    _, _, stats, _ = cv2.connectedComponentsWithStats(small.astype(np.uint8), connectivity=8)
    return {"one_thing": 100 * float(stats[1:, cv2.CC_STAT_AREA].max() / small.sum())}


def of_the_map(maps: AttentionMaps, words: Sequence[Word], spread: int, mask: np.ndarray) -> dict[str, float]:
    """How clearly the words' map tells a thing from its ground, and how the mask suits it.

    Args:
        maps: Of the caption over the photo.
        words: That say where the edit takes place.
        spread: How often their heat is carried along self-attention.
        mask: Of what the model sees, `(H, W)` uint8.

    Returns:
        `stands_out`, the per cent of the map's variance that its best cut explains (Otsu 1979); `fits_map`, the overlap
        of mask and map, cell by cell the lesser of the two over the greater, in per cent; `beyond_map`, the mask's
        share of the frame as a power of two of the map's own, 0 where they are alike. NaN without words or a mask.
    """
    positions = [position for word in words for position in word.positions]
    mask_share = float((mask > 0).mean())
    if not positions or mask_share == 0:
        return dict.fromkeys(("stands_out", "fits_map", "beyond_map"), math.nan)
    heat = normalize(word_heat(maps, positions, spread=spread).float().cpu())
    held = torch.from_numpy(shares(mask, *heat.shape) / 255)
    fits = 100 * float(heat.minimum(held).sum() / heat.maximum(held).sum())
    inside = heat > otsu_threshold(heat)
    share, variance = float(inside.float().mean()), float(heat.var(unbiased=False))
    if not 0 < share < 1 or variance == 0:
        return {"stands_out": 0.0, "fits_map": fits, "beyond_map": math.nan}
    between = share * (1 - share) * float(heat[inside].mean() - heat[~inside].mean()) ** 2
    own = float(heat.mean())  # of a map of zeros and ones the share itself
    beyond = math.log2(mask_share / own)
    return {"stands_out": 100 * between / variance, "fits_map": fits, "beyond_map": beyond}


def of_the_color(alignment: Alignment, photo: np.ndarray, result: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """How many per cent of what was masked have a colour that the new caption brings.

    Returns:
        `asked_color` in the result and `asked_color_before` in the photo; NaN where no colour is asked for, nothing is
        masked, or a colour only goes from one thing to another, since all of what is masked is looked at together.
    """
    named, old = ({color for word in words for color in _colors(word)} for words in _changed_colors(alignment))
    inside = np.flatnonzero(mask > 127)
    if not named or named & old or not len(inside):
        return {"asked_color": math.nan, "asked_color_before": math.nan}
    inside = inside[:: math.ceil(len(inside) / MOST_PIXELS)]
    after, before = (100 * share_of_color(image.reshape(-1, 3)[inside], sorted(named)) for image in (result, photo))
    return {"asked_color": after, "asked_color_before": before}


def _changed_colors(alignment: Alignment) -> tuple[list[Word], list[Word]]:
    """The colours that the new caption brings, and those that the old one loses."""
    source, gone = alignment.source, changed_words(alignment)[0]
    return new_colors(alignment), [source.words[i] for i in gone if is_color(source, i)]


def _colors(word: Word) -> list[str]:
    """The basic colours that a word names, several of one with hyphens."""
    return [color for part in word.key.split("-") if (color := color_named(part))]


def of_the_detail(drawn: np.ndarray, source: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """`detail`, the contrast of neighbouring pixels under the mask as a power of two of the photo's; a smear has less.

    Args:
        drawn: `(h, w, 3)` in [0, 1], what the model drew.
        source: What it draws of the photo, the same.
        mask: `(h, w)` bool.
    """
    if not mask.any():
        return {"detail": math.nan}
    new, old = (_gradients(image)[mask].mean() for image in (drawn, source))
    return {"detail": math.log2((new + 1e-4) / (old + 1e-4))}


def _gradients(image: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)
    return np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))


def _small(mask: np.ndarray, side: int = 256) -> np.ndarray:
    """The mask no larger than `side`, so that specks of a large photo are no parts."""
    scale = side / max(mask.shape)
    if scale >= 1:
        return mask
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    return cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
