"""Colours are named as people would."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2hsv

from training.colors import FLOWER_COLORS, color_masks, name_color, to_hsv

PATCHES = {
    "white": (245, 245, 240),
    "yellow": (250, 220, 20),
    "red": (200, 10, 20),
    "pink": (240, 120, 180),
    "orange": (240, 130, 20),
    "purple": (130, 50, 190),
}


def flower(color: str, side: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A disc of a colour on a leaf-green ground with a little grain, and the disc's pixels."""
    y, x = np.mgrid[:side, :side] - side / 2
    disc = y**2 + x**2 < (side / 4) ** 2
    image = np.where(disc[..., None], PATCHES[color], (40, 110, 30)).astype(np.float32)
    grain = np.random.default_rng(0).normal(0, 4, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8), disc


@pytest.mark.parametrize("color", FLOWER_COLORS)
def test_a_flat_patch_has_its_name(color: str) -> None:
    patch = np.full((16, 16, 3), PATCHES[color], np.uint8)
    assert name_color(patch) == color
    assert name_color(flower(color)[0], names=FLOWER_COLORS) == color
    assert name_color(flower(color)[0]) == "green"  # its ground


def test_the_names_share_out_the_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert (sum(mask.astype(int) for mask in color_masks(image).values()) == 1).all()


def test_hsv_is_that_of_scikit_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_allclose(to_hsv(image), rgb2hsv(image) * (360, 1, 1), atol=1e-3)
