"""Whether samples copy photos that the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

NEIGHBOUR_SIDE = 32  # photos are compared at this side, where they are blurred alike


def shrink(images: np.ndarray) -> torch.Tensor:
    """uint8 `(N, H, W, 3)` to `(N, 3072)` float32 in [0, 1]."""
    side = (NEIGHBOUR_SIDE, NEIGHBOUR_SIDE)
    small = np.stack([cv2.resize(image, side, interpolation=cv2.INTER_AREA) for image in images])
    return torch.from_numpy(small).flatten(1).float() / 255


def nearest(images: np.ndarray, photos: torch.Tensor) -> np.ndarray:
    """RMS distance of each image to the nearest of `photos` (from `shrink`) or of their mirror images, `(N,)`."""
    both = [shrink(images), shrink(images[:, :, ::-1])]  # to mirror an image is to mirror all the photos
    distances = torch.stack([torch.cdist(part, photos).amin(1) for part in both]).amin(0)
    return (distances / photos.shape[1] ** 0.5).numpy()


def neighbours(
    samples: np.ndarray, kinds: Sequence[str], test: np.ndarray, shown: Sequence[str], train: np.ndarray
) -> dict[str, Any]:
    """How near samples come to the train photos, seen whole, beside how near test photos come, which are no copies.

    A soft image is nearer to every photo than a sharp one. So it also counts how often the photo nearest to a sample,
    among all photos, is a test photo: as often as test photos are among them, where nothing is memorised.
    """
    photos, tested, result = shrink(train), shrink(test), {}
    for kind in dict.fromkeys(kinds):
        drawn = samples[np.array(kinds) == kind]
        ours, theirs = nearest(drawn, photos), nearest(test[np.array(shown) == kind], photos)
        result[kind] = {
            "median_of_samples": float(np.median(ours)),
            "median_of_test_photos": float(np.median(theirs)),
            "ratio": float(np.median(ours) / np.median(theirs)),
            "share_nearer_than_1_percent_of_test_photos": float((ours < np.percentile(theirs, 1)).mean()),
            "share_nearest_to_a_test_photo": float((nearest(drawn, tested) < ours).mean()),
            "share_of_test_photos": len(tested) / (len(tested) + len(photos)),
        }
    return result
