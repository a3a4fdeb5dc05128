"""Judges one edit: what of the photo is kept, and whether what was asked is done."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from backbones.backbone import Backbone
from backbones.geometry import Geometry
from backbones.photo import Photo
from backbones.pixels import to_image, to_pixels
from benchmarks.edits import Edit
from benchmarks.learned import Learned
from benchmarks.measures import background, background_of_pie_bench, color_share
from benchmarks.methods import Outcome
from editing.likeness import edge_correlation
from training.classifier import Classifier, classify
from training.colors import color_masks
from workshop.overlap import iou

SIGN = "sign_"
"""What the names of those measures begin with that an edit takes of itself."""


@dataclass(frozen=True, eq=False)
class Judge:
    """The networks that say what an image shows, those that are there."""

    classifier: Classifier | None
    learned: Learned


def measure(edit: Edit, outcome: Outcome, ceiling: np.ndarray, judge: Judge) -> dict[str, float]:
    """The figures of one edit by one method.

    Args:
        edit: What was asked.
        outcome: What came of it.
        ceiling: What was seen of the photo through the autoencoder alone, `(h, w, 3)` uint8 at the model's size.
        judge: The networks.

    Returns:
        `before_...` compares what the model drew with `ceiling`, `after_...` the composite with the photo, both where
        the edit's region is not; `..._pie_...` in PIE-Bench's definition. NaN where a measure does not apply.
        `sign_...` is what the edit says of itself.
    """
    region = outcome.geometry.crop(edit.region)
    small = cv2.resize(region.astype(np.float32), ceiling.shape[1::-1], interpolation=cv2.INTER_AREA) > 0.5
    figures: dict[str, float] = {}
    for when, image, reference, kept in (
        ("before", outcome.drawn, ceiling, ~small),
        ("after", outcome.image, edit.photo, ~edit.region),
    ):
        figures |= {f"{when}_{name}": value for name, value in background(image, reference, kept).items()}
        pie_bench = background_of_pie_bench(image, reference, kept)
        figures |= {f"{when}_pie_{name}": value for name, value in pie_bench.items()}
    color, label, old = edit.asked_color, edit.asked_label, petals(edit)
    nan = float("nan")
    named = classify(judge.classifier, outcome.image[None])[0] if label and judge.classifier else None
    return {
        **figures,
        "edges": edge_correlation(outcome.image, edit.photo, edit.region),
        "iou": iou(outcome.mask, edit.region, edit.border),
        "iou_border": nan if edit.border is None else iou(outcome.mask, edit.region),
        "color_drawn": (color_share(outcome.drawn, small, color) if small.any() else 0.0) if color else nan,
        "color": color_share(outcome.image, edit.region, color) if color else nan,
        "petals": color_share(outcome.image, old, color) if color else nan,
        "old_color": 100 * float(old[edit.region].mean()) if color and old.any() else nan,
        "label": nan if named is None else 100.0 * (named == label),
        **judge.learned.measure(outcome.image, edit.photo, ~edit.region, edit.new_caption),
        "seconds": outcome.seconds,
        "memory": outcome.memory,
        **{f"{SIGN}{name}": value for name, value in outcome.signs.items()},
    }


def petals(edit: Edit) -> np.ndarray:
    """The region's pixels whose colour in the photo is one that the old caption names, `(H, W)` bool; else none."""
    named = color_masks(edit.photo)
    old = [named[word] for word in edit.caption.split() if word in named and word not in edit.new_caption.split()]
    return edit.region & np.any(old, axis=0) if old else np.zeros_like(edit.region)


@torch.no_grad()
def autoencoded(backbone: Backbone, photo: Photo, geometry: Geometry) -> np.ndarray:
    """What is seen of a photo through the autoencoder alone, `(h, w, 3)` uint8 at the model's size."""
    return np.asarray(to_image(backbone.decode(backbone.encode(to_pixels(photo, geometry)))))
