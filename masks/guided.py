"""Local linear models between images, which the guided filter is made of."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from masks.enlarge import Enlargement, stripes

LEAST_WEIGHT = 1e-3  # of a pixel in a fit, lest a window without any have no mean


@dataclass(frozen=True, eq=False)
class LocalLinearModel:
    """For every pixel a linear map from a guide's colour to some target's channels.

    Attributes:
        slopes: `(H, W, 3, C)`.
        offsets: `(H, W, C)`.
    """

    slopes: np.ndarray
    offsets: np.ndarray

    def __add__(self, other: LocalLinearModel) -> LocalLinearModel:
        return LocalLinearModel(self.slopes + other.slopes, self.offsets + other.offsets)

    def __mul__(self, share: float) -> LocalLinearModel:
        return LocalLinearModel(self.slopes * share, self.offsets * share)

    def enlarge(self, size: tuple[int, int]) -> Enlargement:
        """Its coefficients at another size, for `apply_coefficients`."""
        height, width, channels = self.offsets.shape
        flat = self.slopes.reshape(height, width, 3 * channels)
        return Enlargement(np.concatenate([flat, self.offsets], -1).astype(np.float32), size)

    def apply(self, guide: np.ndarray) -> np.ndarray:
        """The target that the model gives for a guide of any size, `(H', W', 3)` -> `(H', W', C)` float32.

        The coefficients are enlarged, not the result, so that the guide's own detail shows in it (He and Sun 2015).

        Args:
            guide: Float in [0, 1], or uint8, which is read as that.
        """
        coefficients = self.enlarge((guide.shape[1], guide.shape[0]))
        result = np.empty((*guide.shape[:2], self.offsets.shape[-1]), np.float32)
        for rows in stripes(0, *guide.shape[:2]):
            part = planes(guide[rows])
            part = part / np.float32(255) if guide.dtype == np.uint8 else part
            result[rows] = np.moveaxis(apply_coefficients(coefficients.part(rows), part), 0, -1)
        return result


def planes(image: np.ndarray) -> np.ndarray:
    """`(H, W, C)` to `(C, H, W)` float32, each channel in one piece."""
    return np.ascontiguousarray(np.moveaxis(image, -1, 0), np.float32)


def apply_coefficients(coefficients: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """A part of an enlarged model, `(4 C, H, W)`, on the guide's same part, `(3, H, W)`: `(C, H, W)` float32."""
    return apply_slopes(coefficients, guide) + coefficients[len(coefficients) // 4 * 3 :]


def apply_slopes(coefficients: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """How far the target moves where the guide moves by a difference; shapes as in `apply_coefficients`."""
    channels = len(coefficients) // 4
    result = difference[0] * coefficients[:channels]
    for k in (1, 2):
        result += difference[k] * coefficients[k * channels : (k + 1) * channels]
    return result


def fit_local_linear(
    guide: np.ndarray, target: np.ndarray, radius: int | None, epsilon: float, weight: np.ndarray | None = None
) -> LocalLinearModel:
    """Fits the target by a linear map of the guide's colour in every window (He, Sun and Tang 2013, equation 19).

    Args:
        guide: `(H, W, 3)` float in [0, 1].
        target: `(H, W, C)` float.
        radius: The windows are `2 radius + 1` pixels wide; None for one window, the whole.
        epsilon: Variance of the guide below which the fit turns flat.
        weight: Of each pixel in the windows, `(H, W)` from 0; all count alike by default.
    """
    guide, target = guide.astype(np.float32), target.astype(np.float32)
    height, width, channels = target.shape
    weights = (
        np.ones((height, width, 1), np.float32) if weight is None else weight[..., None] + np.float32(LEAST_WEIGHT)
    )
    total = _box(weights, radius)

    def mean(values: np.ndarray) -> np.ndarray:
        return _box(weights * values.reshape(height, width, -1), radius) / total

    mean_guide, mean_target = mean(guide), mean(target)
    products, mixed = mean(guide[..., :, None] * guide[..., None, :]), mean(guide[..., :, None] * target[..., None, :])
    covariance = products.reshape(height, width, 3, 3) - mean_guide[..., :, None] * mean_guide[..., None, :]
    mixed = mixed.reshape(height, width, 3, channels) - mean_guide[..., :, None] * mean_target[..., None, :]
    slopes = np.linalg.solve(covariance + epsilon * np.eye(3, dtype=np.float32), mixed)
    offsets = mean_target - np.einsum("hwk,hwkc->hwc", mean_guide, slopes)
    # Windows that hold more of the weight have more to say of a pixel that several cover.
    mean_total = _box(total, radius)
    mean_slopes = _box(total * slopes.reshape(height, width, 3 * channels), radius) / mean_total
    return LocalLinearModel(mean_slopes.reshape(slopes.shape), _box(total * offsets, radius) / mean_total)


def _box(channels: np.ndarray, radius: int | None) -> np.ndarray:
    """Mean over windows of every channel, `(H, W, C)`, with OpenCV's four channels at a time."""
    if radius is None:
        return np.broadcast_to(channels.mean((0, 1)), channels.shape)
    side = 2 * radius + 1
    parts = [
        cv2.blur(np.ascontiguousarray(channels[..., c : c + 4]), (side, side), borderType=cv2.BORDER_REFLECT)
        for c in range(0, channels.shape[-1], 4)
    ]
    return np.concatenate([part.reshape(*channels.shape[:2], -1) for part in parts], -1)
