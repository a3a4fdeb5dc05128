"""An edit does what it asks, judged by the photo's own pixels: where to look is not taken from the edit's mask."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from backbones.backbone import Backbone
from editing.editor import Editor
from editing.result import EditResult

HUES = {"pink": (300, 350), "purple": (255, 320)}
"""In degrees, on a circle where red is 0 or 360, green 120 and blue 240."""


def shades(photo: np.ndarray) -> tuple[np.ndarray, ...]:
    """Hue in degrees, saturation and brightness in [0, 1] of pixels `(H, W, 3)` uint8."""
    return cv2.split(cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2HSV))


def bears(photo: np.ndarray, color: str) -> np.ndarray:
    """Where a photo has that colour, neither greyish nor dark, `(H, W)` bool."""
    (first, last), (hue, saturation, brightness) = HUES[color], shades(photo)
    return (hue > first) & (hue < last) & (saturation > 0.3) & (brightness > 0.4)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """scikit-learn's orange flower among green leaves, at a third of a size."""
    return np.asarray(Image.fromarray(load_sample_image("flower.jpg")).resize((192, 128), Image.Resampling.BOX))


@pytest.fixture(scope="module")
def results(bundled: Backbone, photo: np.ndarray) -> dict[str, EditResult]:
    """The flower in each of the colours, as the defaults make it."""
    editor = Editor(bundled)
    trajectory = editor.invert(photo, "a photo of an orange flower")
    return dict(
        zip(HUES, editor.edit_many(trajectory, [f"a photo of a {color} flower" for color in HUES]), strict=True)
    )


@pytest.mark.parametrize("color", HUES)
def test_the_flower_bears_the_asked_colour_and_the_leaves_do_not(
    results: dict[str, EditResult], photo: np.ndarray, color: str
) -> None:
    hue, saturation, brightness = shades(photo)
    flower = ((hue < 40) | (hue > 350)) & (saturation > 0.5) & (brightness > 0.4)
    leaves = (hue > 70) & (hue < 170) & (saturation > 0.2)
    assert flower.mean() > 0.15 and leaves.mean() > 0.2, "the photo is not the one that was meant"

    after, mask = np.asarray(results[color].image), np.asarray(results[color].mask)
    has = bears(after, color)
    assert has[flower].mean() > 0.9
    assert has[leaves].mean() < 0.01
    assert (mask[leaves] == 0).mean() > 0.98
    assert np.array_equal(after[mask == 0], photo[mask == 0])
    assert not bears(photo, color).any()
