"""Names for colours.

Everything here works on HSV as OpenCV defines it, rescaled to hue in degrees [0, 360), saturation and value
in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

COLORS = ("white", "black", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
FLOWER_COLORS = ("white", "yellow", "red", "pink", "orange", "purple")

# Hue arcs in degrees, [start, end), in order round the circle; red closes it.
_HUE_ARCS = (
    ("red", 0, 14),
    ("orange", 14, 42),
    ("yellow", 42, 68),
    ("green", 68, 170),
    ("blue", 170, 255),
    ("purple", 255, 300),
    ("pink", 300, 346),
    ("red", 346, 360),
)


def to_hsv(image: np.ndarray) -> np.ndarray:
    """RGB uint8 `(H, W, 3)` to float32 `(H, W, 3)`: hue in degrees, saturation and value in [0, 1]."""
    return cv2.cvtColor(image.astype(np.float32) / 255.0, cv2.COLOR_RGB2HSV)


def color_masks(image: np.ndarray) -> dict[str, np.ndarray]:
    """Names every pixel: colour -> boolean `(H, W)`; the masks are disjoint and cover the image."""
    hue, saturation, value = np.moveaxis(to_hsv(image), -1, 0)
    dark, pale = value < 0.2, saturation < 0.25
    masks = {"black": dark, "white": ~dark & pale & (value > 0.6), "gray": ~dark & pale & (value <= 0.6)}
    chromatic = ~dark & ~pale
    for name, start, end in _HUE_ARCS:
        arc = chromatic & (hue >= start) & (hue < end)
        masks[name] = masks.get(name, np.zeros_like(arc)) | arc
    light_red = masks["red"] & (saturation < 0.55) & (value > 0.6)
    masks["brown"] = masks["orange"] & (value < 0.45)
    masks["pink"], masks["red"] = masks["pink"] | light_red, masks["red"] & ~light_red
    masks["orange"] = masks["orange"] & ~masks["brown"]
    return masks


def name_color(image: np.ndarray, mask: np.ndarray | None = None, names: Sequence[str] = COLORS) -> str:
    """Which of `names` fills most of `mask`, or of the image weighted to its centre where there is none."""
    weight = center_weight(*image.shape[:2]) if mask is None else mask.astype(np.float32)
    masks = color_masks(image)
    return max(names, key=lambda name: float((masks[name] * weight).sum()))


def center_weight(height: int, width: int) -> np.ndarray:
    """A Gaussian `(H, W)`, 1 at the centre, with a standard deviation of a third of each side."""
    y = (np.arange(height) - (height - 1) / 2) / (height / 3)
    x = (np.arange(width) - (width - 1) / 2) / (width / 3)
    return np.exp(-(y[:, None] ** 2 + x[None] ** 2) / 2).astype(np.float32)
