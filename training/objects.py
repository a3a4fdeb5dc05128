"""The pixels of a photo's thing: found by its colour, or a rough mask made better."""

from __future__ import annotations

import cv2
import numpy as np

from training.colors import center_weight, color_masks

NEIGHBOURS = {  # colours that one thing often holds beside its own
    "yellow": ("orange",),
    "orange": ("yellow",),
}
FRUIT_NEIGHBOURS = {
    "yellow": ("orange", "green"),
    "orange": ("yellow", "red"),
    "red": ("pink", "orange"),
    "green": ("yellow",),
    "purple": ("blue", "pink", "red"),
    "pink": ("red", "purple"),
}
SHARES = {"flower": (0.06, 0.75), "fruit": (0.15, 0.95), "car": (0.03, 0.6)}  # of the frame
AGREEMENT = {"flower": 0.5, "fruit": 0.5, "car": 0.4}  # of GrabCut and the colour, intersection over union
UNSEEN = {"car": ("white", "black", "gray", "brown"), "fruit": ("white", "black", "gray", "brown")}  # as the ground's


def segment_by_color(image: np.ndarray, color: str, kind: str) -> np.ndarray | None:
    """The thing's pixels, boolean `(H, W)`: its colour's pixels, grown and cleaned by GrabCut.

    None where the colour does not stand out: the region is tiny or nearly the whole frame, GrabCut and the colour
    disagree, or, but for heaps of fruit, which may, it lies at the border rather than inside.
    """
    if color in UNSEEN.get(kind, ()):
        return None
    named = color_masks(image)
    near = (FRUIT_NEIGHBOURS if kind == "fruit" else NEIGHBOURS).get(color, ())
    pixels = np.any([named[name] for name in (color, *near)], axis=0)
    labels = np.where(pixels, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    core = cv2.erode(pixels.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    labels[core & (center_weight(*pixels.shape) > 0.5)] = cv2.GC_FGD
    if not (labels == cv2.GC_FGD).any() or pixels.all():
        return None
    mask = _grab_cut(image, labels)
    low, high = SHARES[kind]
    overlap = (mask & pixels).sum() / max((mask | pixels).sum(), 1)
    if not (low < mask.mean() < high and overlap > AGREEMENT[kind]):
        return None
    if kind == "fruit":
        return mask
    frame = np.ones_like(mask)
    frame[4:-4, 4:-4] = False
    if mask[frame].mean() >= 0.7 * mask[~frame].mean():
        return None
    return _without_holes(mask) if kind == "car" else mask


def refine_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """A garment's rough mask without the ground it holds and with the parts it lacks, or None where it is no good.

    A pixel's colour speaks for the garment as often as it occurs inside the rough mask rather than outside; far from
    the mask, or deep inside, it takes more to be believed.
    """
    lab = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), (0, 0), 1.0)
    bins = (lab // 16).astype(np.int64)
    codes = (bins[..., 0] * 16 + bins[..., 1]) * 16 + bins[..., 2]
    inside, outside = (_histogram(codes[part]) for part in (mask, ~mask))
    prior = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), image.shape[0] / 24) * 0.7 + 0.15
    evidence = np.log(inside[codes]) - np.log(outside[codes]) + np.log(prior / (1 - prior))
    better = cv2.GaussianBlur(evidence.astype(np.float32), (0, 0), 1.5) > 0
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    better = cv2.morphologyEx(better.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    better = _large_parts(cv2.morphologyEx(better, cv2.MORPH_CLOSE, kernel) > 0)
    agreement = (better & mask).sum() / max((better | mask).sum(), 1)
    return better if agreement > 0.6 and 0.05 < better.mean() < 0.8 else None


def _histogram(codes: np.ndarray) -> np.ndarray:
    """How often each of the 16 x 16 x 16 colours occurs, none of them never, smoothed over neighbours."""
    counts = np.bincount(codes, minlength=16**3).reshape(16, 16, 16).astype(np.float32)
    for axis in range(3):
        rolled = np.pad(counts, [(1, 1) if i == axis else (0, 0) for i in range(3)])
        parts = [np.take(rolled, np.arange(16) + shift, axis) for shift in range(3)]
        counts = 0.15 * parts[0] + 0.7 * parts[1] + 0.15 * parts[2]
    return (counts.ravel() + 1.0) / (counts.sum() + 16**3)


def _grab_cut(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(image[..., ::-1].copy(), labels, None, background, foreground, 3, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _large_parts(mask: np.ndarray, least: float = 0.1) -> np.ndarray:
    """Without parts smaller than `least` of the largest."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    return np.isin(labels, [i for i in range(1, len(areas)) if areas[i] >= least * areas[1:].max()])


def _without_holes(mask: np.ndarray) -> np.ndarray:
    """A car's paint together with its windows, lamps and wheels: closed over, holes filled."""
    size = max(3, mask.shape[0] // 16) | 1
    closed = cv2.morphologyEx(
        _large_parts(mask, 0.2).astype(np.uint8),
        cv2.MORPH_CLOSE,
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)),
    )
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(closed), outlines, -1, 1, cv2.FILLED) > 0
