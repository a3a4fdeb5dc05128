"""Colour words, and which pixels have the colour that one names."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# The eleven basic terms of Berlin and Kay (1969), by typical sRGB values: light, full and dark ones of each.
PROTOTYPES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((0, 0, 0), (30, 30, 32)),
    "gray": ((75, 75, 75), (105, 105, 105), (135, 135, 135)),
    "white": ((255, 255, 255), (215, 215, 215), (180, 180, 178), (238, 232, 215), (205, 212, 225)),
    "red": ((220, 25, 30), (150, 15, 25), (190, 40, 55), (90, 10, 15)),
    "orange": ((250, 140, 20), (235, 110, 35), (200, 110, 30), (175, 100, 15), (250, 170, 90)),
    "yellow": ((250, 225, 30), (240, 220, 110), (215, 180, 20), (165, 135, 10), (250, 240, 170)),
    "green": (
        (40, 150, 50),
        (20, 80, 25),
        (140, 200, 100),
        (90, 110, 40),
        (20, 120, 70),
        (150, 220, 30),
        (165, 200, 170),
    ),
    "blue": (
        (30, 80, 200),
        (15, 30, 90),
        (40, 50, 80),
        (110, 160, 225),
        (30, 150, 200),
        (55, 110, 120),
        (95, 150, 170),
    ),
    "purple": ((125, 45, 165), (75, 20, 95), (165, 110, 205), (110, 70, 140)),
    "pink": ((245, 130, 180), (225, 60, 130), (250, 190, 205), (190, 90, 130), (150, 50, 85)),
    "brown": ((110, 62, 28), (75, 45, 25), (140, 98, 70), (95, 75, 55)),
}
SYNONYMS = {
    "gray": ("grey", "silver", "grayish", "greyish"),
    "black": ("blackish",),
    "white": ("ivory", "cream", "whitish"),
    "red": ("crimson", "scarlet", "maroon", "burgundy", "reddish"),
    "yellow": ("golden", "mustard", "blond", "blonde", "yellowish"),
    "green": ("mint", "olive", "greenish"),
    "blue": ("navy", "azure", "indigo", "teal", "turquoise", "cyan", "bluish"),
    "purple": ("violet", "lilac", "lavender", "mauve", "purplish"),
    "pink": ("magenta", "fuchsia", "coral", "pinkish"),
    "brown": ("beige", "tan", "khaki", "ochre", "brownish"),
}
LIGHTNESS = 0.6  # how much a difference in lightness counts beside one in colour, since light falls unevenly


def color_named(word: str) -> str | None:
    """The key of `PROTOTYPES` that a word stands for; None where it is none."""
    return next((name for name in PROTOTYPES if word == name or word in SYNONYMS.get(name, ())), None)


def share_of_color(pixels: np.ndarray, names: Sequence[str]) -> float:
    """Which share of the pixels is nearer to one of the named colours than to any other, in CIELAB.

    Args:
        pixels: `(N, 3)` uint8.
        names: Keys of `PROTOTYPES`.

    Returns:
        In [0, 1]; NaN where there are no pixels.
    """
    if not len(pixels):
        return float("nan")
    known = [(name, color) for name, colors in PROTOTYPES.items() for color in colors]
    typical = to_lab(np.array([color for _, color in known], np.uint8))
    distances = ((to_lab(pixels)[:, None] - typical) ** 2).sum(-1)
    nearest = distances.argmin(1)
    return float(np.isin(nearest, [i for i, (name, _) in enumerate(known) if name in names]).mean())


def to_lab(pixels: np.ndarray) -> np.ndarray:
    """`(N, 3)` uint8 to CIELAB `(N, 3)` float32, its lightness scaled by `LIGHTNESS`."""
    lab = cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return np.asarray(lab * np.array([LIGHTNESS, 1, 1], np.float32))
