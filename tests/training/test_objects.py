"""A thing's pixels are found by its colour; a rough mask loses the ground that it holds and gains what it lacks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.test_colors import PATCHES, flower
from training.colors import FLOWER_COLORS
from training.objects import refine_mask, segment_by_color


def iou(mask: np.ndarray, other: np.ndarray) -> float:
    return float((mask & other).sum() / (mask | other).sum())


@pytest.mark.parametrize("color", FLOWER_COLORS)
def test_a_flower_is_found_by_its_color(color: str) -> None:
    image, disc = flower(color)
    mask = segment_by_color(image, color, "flower")
    assert mask is not None
    assert iou(mask, disc) > 0.9


def test_a_color_that_does_not_stand_out_gives_nothing() -> None:
    assert segment_by_color(flower("red")[0], "purple", "flower") is None
    assert segment_by_color(np.full((64, 64, 3), PATCHES["red"], np.uint8), "red", "flower") is None


def test_a_cars_windows_belong_to_it_and_a_white_one_is_not_guessed() -> None:
    image, _ = flower("red", side=144)
    body = np.zeros((144, 144), bool)
    body[50:95, 20:124] = True
    image[:] = (90, 90, 95)
    image[body] = PATCHES["red"]
    image[60:68, 60:68] = (20, 20, 25)
    mask = segment_by_color(image, "red", "car")
    assert mask is not None
    assert iou(mask, body) > 0.9
    assert mask[62:66, 62:66].all()
    assert segment_by_color(image, "white", "car") is None


def test_a_rough_mask_is_made_better() -> None:
    rng = np.random.default_rng(0)
    image = np.full((192, 192, 3), (220, 215, 205), np.uint8)
    garment = np.zeros((192, 192), bool)
    garment[40:160, 50:90] = garment[40:160, 110:150] = garment[40:80, 50:150] = True  # two legs
    image[garment] = (40, 50, 110)
    image = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
    rough = garment.copy()
    rough[40:160, 50:150] = True  # takes the floor between the legs
    rough[152:160] = False  # and lacks the feet
    better = refine_mask(image, rough)
    assert better is not None
    assert iou(better, garment) > 0.93 > iou(rough, garment)


def test_a_mask_that_its_colours_do_not_bear_out_is_none() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    mask = np.zeros((96, 96), bool)
    mask[10:16, 10:90] = True
    assert refine_mask(image, mask) is None
