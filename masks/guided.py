"""Local linear models between images, which the guided filter is made of."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class LocalLinearModel:
    """For every pixel a linear map from a guide's colour to some target's channels.

    Attributes:
        slopes: `(H, W, 3, C)`.
        offsets: `(H, W, C)`.
    """

    slopes: np.ndarray
    offsets: np.ndarray

    def apply(self, guide: np.ndarray) -> np.ndarray:
        """The target that the model gives for a guide of any size, `(H', W', 3)` -> `(H', W', C)` float32.

        The coefficients are enlarged, not the result, so that the guide's own detail shows in it (He and Sun 2015).
        """
        size = (guide.shape[1], guide.shape[0])
        channels = [
            sum(guide[..., k] * _enlarge(self.slopes[..., k, c], size) for k in range(3))
            + _enlarge(self.offsets[..., c], size)
            for c in range(self.offsets.shape[-1])
        ]
        return np.stack(channels, -1)


def fit_local_linear(guide: np.ndarray, target: np.ndarray, radius: int, epsilon: float) -> LocalLinearModel:
    """Fits the target by a linear map of the guide's colour in every window (He, Sun and Tang 2013, equation 19).

    Args:
        guide: `(H, W, 3)` float in [0, 1].
        target: `(H, W, C)` float.
        radius: The windows are `2 radius + 1` pixels wide.
        epsilon: Variance of the guide below which the fit turns flat.
    """
    guide, target = guide.astype(np.float32), target.astype(np.float32)
    mean_guide, mean_target = _box(guide, radius), _box(target, radius)
    products = _box((guide[..., :, None] * guide[..., None, :]).reshape(*guide.shape[:2], 9), radius)
    covariance = products.reshape(*guide.shape[:2], 3, 3) - mean_guide[..., :, None] * mean_guide[..., None, :]
    channels = target.shape[-1]
    mixed = _box((guide[..., :, None] * target[..., None, :]).reshape(*guide.shape[:2], 3 * channels), radius)
    mixed = mixed.reshape(*guide.shape[:2], 3, channels) - mean_guide[..., :, None] * mean_target[..., None, :]
    slopes = np.linalg.solve(covariance + epsilon * np.eye(3, dtype=np.float32), mixed)
    offsets = mean_target - np.einsum("hwk,hwkc->hwc", mean_guide, slopes)
    mean_slopes = _box(slopes.reshape(*guide.shape[:2], 3 * channels), radius)
    return LocalLinearModel(mean_slopes.reshape(slopes.shape), _box(offsets, radius))


def _box(channels: np.ndarray, radius: int) -> np.ndarray:
    """Mean over windows of every channel, `(H, W, C)`, with OpenCV's four channels at a time."""
    side = 2 * radius + 1
    parts = [
        cv2.blur(np.ascontiguousarray(channels[..., c : c + 4]), (side, side), borderType=cv2.BORDER_REFLECT)
        for c in range(0, channels.shape[-1], 4)
    ]
    return np.concatenate([part.reshape(*channels.shape[:2], -1) for part in parts], -1)


def _enlarge(channel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(channel), size, interpolation=cv2.INTER_LINEAR)
