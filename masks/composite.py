"""The edited pixels inside the mask, the photo's own everywhere else."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from masks.enlarge import Enlargement, stripes
from masks.guided import LocalLinearModel, apply_coefficients, apply_slopes, fit_local_linear, planes

Draw = Callable[[slice, slice], np.ndarray]
"""Gives the rows and columns that are asked for of a picture, `(h, w, 3)` float32 in [0, 255]."""

WHOLE_EPSILON, PART_EPSILON, PARTS = 3e-4, 1e-2, 8  # ridges in Lab / 100; windows reach an 8th of the side
DETAIL_RADIUS, DETAIL_EPSILON = 2, 3e-5
CUBE_ROOT_FOOT = 0.16  # of CIE's lightness, by which a share of the light is the same share of it everywhere
GAIN = 1.5  # how much stronger fine shades may be than the photo's, as shares of the light
RIM_WEIGHT = 0.02  # in the fit, of pixels that show the ground too
SMOOTHED_WIDTH = 2  # shades narrower than this many of its own pixels are what a model smooths


def enlarge_edit(
    photo: np.ndarray,
    reconstruction: np.ndarray,
    edited: np.ndarray,
    mask: np.ndarray,
    *,
    keep_detail: bool,
    texture: float = 0.0,
) -> Draw:
    """The model's small edit at the photo's size.

    With `keep_detail` it is not the edited pixels that are enlarged but the change: how the edit maps the colours of
    the reconstruction is fitted as a linear model of CIE Lab, and applied to the photo itself, whose texture the model
    never saw (bilateral guided upsampling, Chen et al. 2016, on the guided filter's model). First one model for all
    that the mask holds, so that what the edit did to a colour happens wherever that colour is; then one for what this
    leaves in each window. Pixels that show the ground too hardly count, so that a rim is mapped as what it is the rim
    of. What is left is either how the model draws a thing that is new, or blotches: `texture` says which.

    Args:
        photo: The part of the photo that the model saw, `(H, W, 3)` uint8.
        reconstruction: What the model makes of it without an edit, `(h, w, 3)` in [0, 1].
        edited: What it makes with the edit, `(h, w, 3)` in [0, 1].
        mask: Where the edit is to be seen, `(H, W)` uint8.
        keep_detail: False simply enlarges `edited`.
        texture: Least share, in [0, 1], of the photo's shades finer than two of the model's pixels that the result
            shows, at most `GAIN` times as strong. At 1 only colours are mapped; at 0 all that the model drew is there.
    """
    size = (photo.shape[1], photo.shape[0])
    if not keep_detail:
        enlarged = Enlargement(np.clip(edited, 0, 1).astype(np.float32) * 255, size, cv2.INTER_CUBIC)
        return lambda rows, columns: np.clip(np.moveaxis(enlarged.part(rows, columns), 0, -1), 0, 255)
    before = to_lab(reconstruction)
    model, left = fit_change(before, to_lab(edited) - before, _weigh(mask, before.shape), texture)
    coefficients, rest = model.enlarge(size), Enlargement((1 - texture) * left, size, cv2.INTER_CUBIC)
    coarse = Enlargement(_coarse_lab(photo, before.shape), size, cv2.INTER_CUBIC)

    def draw(rows: slice, columns: slice) -> np.ndarray:
        lab, maps = planes(to_lab(photo[rows, columns])), coefficients.part(rows, columns)
        result = lab + apply_coefficients(maps, lab)
        if texture < 1:
            result += rest.part(rows, columns)
        result += _bound_shades(lab, result, coarse.part(rows, columns), maps, texture)
        return np.clip(cv2.cvtColor(cv2.merge(list(result * 100)), cv2.COLOR_LAB2RGB) * 255, 0, 255)

    return draw


def fit_change(
    before: np.ndarray, change: np.ndarray, weight: np.ndarray, texture: float
) -> tuple[LocalLinearModel, np.ndarray]:
    """The change as a linear model of the colours before it, and what that leaves, `(h, w, 3)`; see `enlarge_edit`."""
    model = fit_local_linear(before, change, None, WHOLE_EPSILON, weight)
    left = change - model.apply(before)
    near = fit_local_linear(before, left, max(before.shape) // PARTS, PART_EPSILON, weight)
    model, left = model + near, left - near.apply(before)
    if texture < 1:
        nearer = fit_local_linear(before, left, DETAIL_RADIUS, DETAIL_EPSILON)
        model, left = model + nearer * (1 - texture), left - nearer.apply(before)
    return model, left


def to_lab(image: np.ndarray) -> np.ndarray:
    """RGB, uint8 or float in [0, 1], to CIE Lab over 100: lightness in [0, 1], float32."""
    unit = image.astype(np.float32) / 255 if image.dtype == np.uint8 else np.clip(image, 0, 1).astype(np.float32)
    return cv2.cvtColor(unit, cv2.COLOR_RGB2LAB) / 100


def _weigh(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """How much each of the model's pixels says of what is in the mask, `(h, w)` float32 in [0, 1]."""
    share = cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.where(cv2.erode(share, np.ones((3, 3))) > 0.99, 1, RIM_WEIGHT * share).astype(np.float32)


def _bound_shades(
    lab: np.ndarray, result: np.ndarray, coarse: np.ndarray, maps: np.ndarray, texture: float
) -> np.ndarray:
    """What to add to the result for its fine shades to be as strong as `enlarge_edit` says, `(3, h, w)`.

    A shade that takes a tenth of the light takes a tenth of it whatever the colour, so that what turns dark has dark
    shades, and fainter colours in them.
    """
    fine = lab - coarse
    darker = (result[:1].clip(0) + CUBE_ROOT_FOOT) / (lab[:1] + CUBE_ROOT_FOOT)
    found, faint = 1 + maps[:1], np.minimum(darker, 1)
    gain = np.clip(found, texture * faint, GAIN * darker)
    tints = (faint - 1) * (fine + apply_slopes(maps, fine))[1:]
    return np.concatenate([(gain - found) * fine[:1], tints])


def _coarse_lab(photo: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The colours of the photo without shades too fine for a model of that shape, `(h, w, 3)`, for cubic enlarging."""
    height, width = (
        max(1, min(side, drawn // SMOOTHED_WIDTH)) for side, drawn in zip(photo.shape[:2], shape, strict=False)
    )
    # By way of a size between, the rounding of bytes is averaged out.
    between = (min(photo.shape[1], 8 * width), min(photo.shape[0], 8 * height))
    shrunk = to_lab(cv2.resize(photo, between, interpolation=cv2.INTER_AREA))
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, 3)


def composite(photo: np.ndarray, draw: Draw, mask: np.ndarray) -> np.ndarray:
    """Blends by the mask; where it is 0 the photo's bytes are copied.

    Args:
        photo: `(H, W, 3)` uint8.
        draw: Of a picture of that size; asked for no more than the mask's bounds.
        mask: `(H, W)` uint8.

    Returns:
        `(H, W, 3)` uint8.
    """
    result = photo.copy()
    left, top, width, height = cv2.boundingRect(mask)
    columns = slice(left, left + width)
    for rows in stripes(top, top + height, width):
        before, weight = photo[rows, columns].astype(np.float32), mask[rows, columns, None].astype(np.float32) / 255
        blended = before + weight * (draw(rows, columns) - before)
        blended = np.rint(blended, out=blended).clip(0, 255, out=blended).astype(np.uint8)
        np.copyto(result[rows, columns], blended, where=weight > 0)
    return result
