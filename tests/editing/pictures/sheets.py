"""What a sheet shows, told by its pixels."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image


def share_of(sheet: Image.Image, color: tuple[int, int, int]) -> float:
    """The share of a picture's pixels that have just this colour."""
    return float((np.asarray(sheet) == color).all(-1).mean())


def middle_of(sheet: Image.Image, color: tuple[int, int, int]) -> tuple[float, float]:
    """Mean x and y of the pixels that have just this colour."""
    y, x = np.nonzero((np.asarray(sheet) == color).all(-1))
    return float(x.mean()), float(y.mean())


def panels_of(sheet: Image.Image) -> list[np.ndarray]:
    """The panels `(h, w, 3)` uint8 in reading order: whatever is not white over 100 pixels a side, which no text is."""
    pixels = np.asarray(sheet)
    _, _, boxes, _ = cv2.connectedComponentsWithStats((pixels.min(-1) < 250).astype(np.uint8))
    found = [tuple(box[:4]) for box in boxes[1:] if min(box[2:4]) > 100]
    return [pixels[y : y + height, x : x + width] for x, y, width, height in sorted(found, key=lambda b: (b[1], b[0]))]
