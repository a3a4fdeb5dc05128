"""Photos to try the page with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Example:
    """A photo with captions that fit.

    Attributes:
        title: Of the photo.
        caption: What it shows.
        new_caption: An edit to begin with.
        load: Gives the photo, `(H, W, 3)` uint8.
    """

    title: str
    caption: str
    new_caption: str
    load: Callable[[], np.ndarray]


def examples() -> list[Example]:
    """scikit-learn's flower, where that is installed."""
    try:
        from sklearn.datasets import load_sample_image
    except ImportError:
        return []
    return [
        Example(
            "Flower",
            "a photo of an orange flower",
            "a photo of a pink flower",
            lambda: load_sample_image("flower.jpg"),
        )
    ]
