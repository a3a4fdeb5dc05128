"""A coarse soft mask -> a mask at the photo's own resolution that follows its edges."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from backbones.errors import EditRealError
from masks.enlarge import stripes
from masks.guided import apply_coefficients, fit_local_linear, planes

WORKING_SIDE = 384  # the longer side at which edges are sought; the result is enlarged along the photo's edges
LEAST_AGREEMENT = 0.6  # IoU of GrabCut's mask with the coarse one, below which it is not believed
MATTE_EPSILON, MATTE_NOISE = 1e-3, 0.05  # variance of colours that tell thing from ground; alpha that is none
SMALLEST_PART = 0.002  # parts and holes below this share of the frame are noise


def plain(soft: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Enlarged, edges ignored."""
    return _resize(soft, photo)


def guided(soft: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Smoothed along the photo's edges by a guided filter (He, Sun and Tang 2013)."""
    small = _shrink_to_unit(photo)
    coarse = _resize(soft, small)
    # A coarse cell is this many pixels wide: edges are sought within one cell of the coarse boundary.
    cell = max(small.shape[1] / soft.shape[1], small.shape[0] / soft.shape[0])
    model = fit_local_linear(small, coarse[..., None], radius=max(2, round(0.75 * cell)), epsilon=2e-4)
    return model.apply(photo)[..., 0]


def grabcut(soft: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Recut by colour from the sure and the probable pixels (Rother, Kolmogorov and Blake, SIGGRAPH 2004)."""
    small = _shrink_to_unit(photo)
    coarse = _resize(soft, small)
    labels = np.where(coarse > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[coarse > 0.8], labels[coarse < 0.2] = cv2.GC_FGD, cv2.GC_BGD
    if len({bool(label % 2) for label in np.unique(labels)}) < 2:
        return _resize(soft, photo)
    cv2.setRNGSeed(0)
    pixels = np.rint(small[..., ::-1] * 255).astype(np.uint8)
    cv2.grabCut(pixels, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    cut = (labels % 2).astype(np.float32)
    chosen = coarse > 0.5
    if (chosen & (cut > 0)).sum() < LEAST_AGREEMENT * (chosen | (cut > 0)).sum():
        return guided(soft, photo)  # the colours do not tell the object apart, and the cut has run away
    model = fit_local_linear(small, cut[..., None], radius=3, epsilon=1e-3)
    return model.apply(photo)[..., 0]


REFINEMENTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "guided": guided,
    "grabcut": grabcut,
    "plain": plain,
}


def refine_mask(soft: np.ndarray, photo: np.ndarray, refinement: str) -> np.ndarray:
    """The mask at the photo's resolution.

    Args:
        soft: `(h, w)` in [0, 1], boundary at 0.5.
        photo: The part of the photo that `soft` covers, `(H, W, 3)` uint8.
        refinement: One of `REFINEMENTS`.

    Returns:
        `(H, W)` bool, without specks and pinholes.

    Raises:
        EditRealError: An unknown refinement.
    """
    if refinement not in REFINEMENTS:
        raise EditRealError(f"expected a refinement among {', '.join(REFINEMENTS)}, got {refinement!r}")
    if soft.max() <= 0.5 or soft.min() > 0.5:
        return np.full(photo.shape[:2], bool(soft.min() > 0.5))
    return clean(REFINEMENTS[refinement](soft.astype(np.float32), photo) > 0.5)


def clean(mask: np.ndarray) -> np.ndarray:
    """Drops parts and fills holes smaller than `SMALLEST_PART` of the frame, `(H, W)` bool."""
    limit = SMALLEST_PART * mask.size
    for value in (True, False):
        _, labels, stats, _ = cv2.connectedComponentsWithStats((mask == value).astype(np.uint8), connectivity=4)
        small = stats[:, cv2.CC_STAT_AREA] < limit
        small[0] = False
        mask = np.where(small[labels], not value, mask)
    return mask


def soften(mask: np.ndarray, photo: np.ndarray, feather: float) -> np.ndarray:
    """How much of each pixel is the mask's thing: at the edge it goes by the photo's colours on both sides.

    A guided filter's alpha matte of a mask (He, Sun and Tang 2013, section 4): a pixel at the rim that mixes thing and
    ground gets the thing's share, on whichever side of the mask's edge it lies.

    Args:
        mask: `(H, W)` bool.
        photo: `(H, W, 3)` uint8.
        feather: Half the width of the windows in which colours are compared, as a share of the longer side.

    Returns:
        `(H, W)` uint8, 0 and 255 farther than the feather's width from the edge.
    """
    small = _shrink_to_unit(photo)
    radius = round(feather * max(small.shape))
    if radius < 1:
        return mask.astype(np.uint8) * np.uint8(255)
    size = (small.shape[1], small.shape[0])
    cut = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    coefficients = fit_local_linear(small, cut[..., None], radius, MATTE_EPSILON).enlarge(photo.shape[1::-1])
    result = np.empty(mask.shape, np.uint8)
    for rows in stripes(0, *mask.shape):
        alpha = apply_coefficients(coefficients.part(rows), planes(photo[rows]) / np.float32(255))[0]
        result[rows] = np.rint(np.clip((alpha - MATTE_NOISE) / (1 - 2 * MATTE_NOISE), 0, 1) * 255)
    return result


def feather_inside(mask: np.ndarray, radius: float) -> np.ndarray:
    """Fades a mask out over `radius` pixels strictly inside itself; where the frame ends it does not fade.

    Args:
        mask: Of the whole photo, `(H, W)` bool.
        radius: In pixels.

    Returns:
        `(H, W)` uint8, 0 wherever the mask was False.
    """
    full = mask.astype(np.uint8)
    if not mask.any() or mask.all() or radius < 1:
        return full * np.uint8(255)
    left, top, width, height = cv2.boundingRect(full)
    # The nearest pixel outside the mask is within one of its bounds.
    bounds = np.s_[max(0, top - 1) : top + height + 1, max(0, left - 1) : left + width + 1]
    distance = cv2.distanceTransform(full[bounds], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    full[bounds] = np.where(mask[bounds], np.rint(np.clip(distance / radius, 1 / 255, 1) * 255), 0)
    return full


def shrink(photo: np.ndarray) -> np.ndarray:
    """The photo at the size at which edges are sought: its longer side is `WORKING_SIDE` at most."""
    scale = min(1.0, WORKING_SIDE / max(photo.shape[:2]))
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA) if scale < 1 else photo


def _shrink_to_unit(photo: np.ndarray) -> np.ndarray:
    return shrink(photo).astype(np.float32) / 255


def _resize(channel: np.ndarray, like: np.ndarray) -> np.ndarray:
    size = (like.shape[1], like.shape[0])
    return cv2.resize(channel.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
