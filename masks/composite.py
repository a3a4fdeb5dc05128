"""The edited pixels inside the mask, the photo's own everywhere else."""

from __future__ import annotations

import cv2
import numpy as np

from masks.guided import LocalLinearModel, fit_local_linear

DETAIL_RADIUS, DETAIL_EPSILON = 2, 1e-4
SMOOTHED_WIDTH = 2  # shades narrower than this many of its own pixels are what a model smooths
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of RGB (ITU-R BT.601)


def enlarge_edit(
    photo: np.ndarray, reconstruction: np.ndarray, edited: np.ndarray, *, keep_detail: bool, texture: float = 0.0
) -> np.ndarray:
    """The model's small edit at the photo's size.

    With `keep_detail` it is not the edited pixels that are enlarged but the change: how the edit maps the colours of
    the reconstruction, window by window, is fitted as a linear model, and applied to the photo itself, whose texture
    the model never saw (bilateral guided upsampling, Chen et al. 2016, on the guided filter's model). What that
    leaves unexplained is added. Where nothing was edited the photo comes back unchanged; where the content is new,
    the fit turns flat and the result is the enlarged edit. It turns flat as well where a model smooths what it only
    recolours; there `texture` brings back the shades that are too fine for the model to draw.

    Args:
        photo: The part of the photo that the model saw, `(H, W, 3)` uint8.
        reconstruction: What the model makes of it without an edit, `(h, w, 3)` in [0, 1].
        edited: What it makes with the edit, `(h, w, 3)` in [0, 1].
        keep_detail: False simply enlarges `edited`.
        texture: Least share, in [0, 1], of the photo's luminance finer than two of the model's pixels that the
            result shows.

    Returns:
        `(H, W, 3)` float32 in [0, 255].
    """
    size = (photo.shape[1], photo.shape[0])
    if not keep_detail:
        return np.clip(cv2.resize(edited.astype(np.float32), size, interpolation=cv2.INTER_CUBIC) * 255, 0, 255)
    change = edited.astype(np.float32) - reconstruction.astype(np.float32)
    model = fit_local_linear(reconstruction, change, DETAIL_RADIUS, DETAIL_EPSILON)
    unexplained = change - model.apply(reconstruction.astype(np.float32))
    full = photo.astype(np.float32) / 255
    result = model.apply(full)
    result += full
    result += cv2.resize(unexplained, size, interpolation=cv2.INTER_CUBIC)
    if texture:
        result += _missing_shades(full, result, model, texture)[..., None]
    result *= 255
    return np.clip(result, 0, 255, out=result)


def _missing_shades(photo: np.ndarray, result: np.ndarray, model: LocalLinearModel, texture: float) -> np.ndarray:
    """What the fit leaves out of the photo's fine shades, up to a share of `texture`, `(H, W)` float32 round 0."""
    shown = 1 + model.slopes.sum(-2) @ LUMINANCE  # of a shade of the photo, how much the fit alone leaves in the edit
    size = (photo.shape[1], photo.shape[0])
    missing = np.clip(texture - cv2.resize(shown, size, interpolation=cv2.INTER_LINEAR), 0, texture)
    darker = np.clip(result @ LUMINANCE / (photo @ LUMINANCE).clip(1 / 255), 0, 1)  # what is darker has darker shades
    return missing * darker * _finer_luminance(photo, *shown.shape)


def _finer_luminance(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """The photo's luminance less what a model of `height` x `width` pixels draws well, `(H, W)` float32 round 0."""
    luminance = photo @ LUMINANCE
    height, width = min(luminance.shape[0], height // SMOOTHED_WIDTH), min(luminance.shape[1], width // SMOOTHED_WIDTH)
    coarse = cv2.resize(luminance, (max(1, width), max(1, height)), interpolation=cv2.INTER_AREA)
    return luminance - cv2.resize(coarse, luminance.shape[::-1], interpolation=cv2.INTER_CUBIC)


def composite(photo: np.ndarray, edited: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Blends by the mask; where it is 0 the photo's bytes are copied.

    Args:
        photo: `(H, W, 3)` uint8.
        edited: `(H, W, 3)` float in [0, 255].
        mask: `(H, W)` uint8.

    Returns:
        `(H, W, 3)` uint8.
    """
    result = photo.copy()
    left, top, width, height = cv2.boundingRect(mask)
    bounds = np.s_[top : top + height, left : left + width]
    before, weight = photo[bounds].astype(np.float32), mask[bounds].astype(np.float32)[..., None] / 255
    blended = before + weight * (edited[bounds].astype(np.float32, copy=False) - before)
    blended = np.rint(blended, out=blended).clip(0, 255, out=blended).astype(np.uint8)
    np.copyto(result[bounds], blended, where=weight > 0)
    return result
