"""Photographs that other packages bring, to try edit-real with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sample:
    """A photo with captions that fit. Nothing of the bundled model was chosen on it.

    Attributes:
        name: Of the photo, fit for a file name.
        caption: What it shows.
        new_captions: What it could show, by a word for each.
        package: The module whose it is.
        load: Gives the photo, `(H, W, 3)` uint8.
        settings: Of the edit, that suit it better than the defaults.
    """

    name: str
    caption: str
    new_captions: dict[str, str]
    package: str
    load: Callable[[], np.ndarray]
    settings: Mapping[str, Any] = field(default_factory=dict)


def _flower() -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image("flower.jpg"))


def _astronaut() -> np.ndarray:
    from skimage.data import astronaut

    return np.asarray(astronaut())


SAMPLES = (
    Sample(
        "flower",
        "a photo of an orange flower",
        {"pink": "a photo of a pink flower", "white": "a photo of a white flower"},
        "sklearn",
        _flower,
    ),
    Sample(
        "astronaut",  # Eileen Collins, photographed by NASA; in the public domain
        "a photo of an orange object",  # for a space suit the bundled model has no word
        {"green": "a photo of a green object", "purple": "a photo of a purple object"},
        "skimage",
        _astronaut,
        {"mask_threshold": 0.8},  # her face is orange enough for a lower one
    ),
)


def installed_samples() -> list[Sample]:
    """Those whose package is installed."""
    return [sample for sample in SAMPLES if find_spec(sample.package)]
