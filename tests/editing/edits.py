"""A picture, and edits of it by a tiny model."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from editing.editor import Editor
from editing.result import EditResult
from editing.settings import split_settings

CAPTION, NEW = "a photo of a red rose", "a photo of a red cat"


def picture(height: int = 48, width: int = 40, seed: int = 0) -> np.ndarray:
    """A gradient with noise, `(H, W, 3)` uint8."""
    y, x = np.mgrid[:height, :width]
    gradient = np.stack([255 * y / height, 255 * x / width, 128 + 100 * np.sin(x / 9)], -1)
    return (gradient + np.random.default_rng(seed).normal(0, 8, gradient.shape)).clip(0, 255).astype(np.uint8)


def half(height: int, width: int, *, left: bool) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[:, : width // 2] = left
    mask[:, width // 2 :] = not left
    return mask


def edit(editor: Editor, img: Any, caption: str = CAPTION, new: str = NEW, **options: Any) -> EditResult:
    region = options.pop("region", None)
    # The maps of random weights are noise, which GrabCut may well grow to the whole frame, and verdicts are bad.
    plain = {"inversion": "direct", "steps": 3, "refinement": "plain", "attempts": 1}
    inversion, settings = split_settings({**plain, **options})
    return editor.edit(editor.invert(img, caption, inversion, region=region), new, settings)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def assert_untouched_outside(result: EditResult, photo: np.ndarray) -> None:
    mask, after = np.asarray(result.mask), pixels(result.image)
    assert mask.shape == photo.shape[:2] == after.shape[:2]
    assert np.array_equal(after[mask == 0], photo[mask == 0])
    assert (after != photo).any(), "nothing was edited"
    assert (mask == 0).any(), "everything was edited"
