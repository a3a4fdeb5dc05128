"""A coarse soft mask -> a mask at the photo's own resolution that follows its edges."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from backbones.errors import EditRealError
from masks.guided import fit_local_linear

WORKING_SIDE = 384  # the longer side at which edges are sought; the result is enlarged along the photo's edges
LEAST_AGREEMENT = 0.6  # IoU of GrabCut's mask with the coarse one, below which it is not believed
SMALLEST_PART = 0.002  # parts and holes below this share of the frame are noise


def plain(soft: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Enlarged, edges ignored."""
    return _resize(soft, photo)


def guided(soft: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Smoothed along the photo's edges by a guided filter (He, Sun and Tang 2013)."""
    small = shrink(photo)
    coarse = _resize(soft, small)
    # A coarse cell is this many pixels wide: edges are sought within one cell of the coarse boundary.
    cell = max(small.shape[1] / soft.shape[1], small.shape[0] / soft.shape[0])
    model = fit_local_linear(small, coarse[..., None], radius=max(2, round(0.75 * cell)), epsilon=2e-4)
    return model.apply(photo)[..., 0]


def grabcut(soft: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Recut by colour from the sure and the probable pixels (Rother, Kolmogorov and Blake, SIGGRAPH 2004)."""
    small = shrink(photo)
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
    fine = REFINEMENTS[refinement](soft.astype(np.float32), photo.astype(np.float32) / 255)
    return clean(fine > 0.5)


def clean(mask: np.ndarray) -> np.ndarray:
    """Drops parts and fills holes smaller than `SMALLEST_PART` of the frame, `(H, W)` bool."""
    limit = SMALLEST_PART * mask.size
    for value in (True, False):
        _, labels, stats, _ = cv2.connectedComponentsWithStats((mask == value).astype(np.uint8), connectivity=4)
        small = stats[:, cv2.CC_STAT_AREA] < limit
        small[0] = False
        mask = np.where(small[labels], not value, mask)
    return mask


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


def _resize(channel: np.ndarray, like: np.ndarray) -> np.ndarray:
    size = (like.shape[1], like.shape[0])
    return cv2.resize(channel.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
