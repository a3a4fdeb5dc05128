"""How much of a picture is left in another."""

from __future__ import annotations

import cv2
import numpy as np

WINDOW_SIGMA, WINDOW_SIDE = 1.5, 11  # of SSIM's Gaussian window, in pixels
STABILITY = (0.01**2, 0.03**2)  # SSIM's constants C1 and C2 for images in [0, 1]


def edge_correlation(image: np.ndarray, reference: np.ndarray, where: np.ndarray) -> float:
    """How well the edges of one image fall on those of another, whatever its colours: 1 is the same structure.

    It is Pearson's correlation, over the pixels of `where`, of the two luminances' gradient magnitudes (Sobel). An
    object that keeps its outline and texture keeps its edges; one that is drawn anew, or blurred, does not.

    Args:
        image: `(H, W, 3)` uint8.
        reference: The same.
        where: `(H, W)` bool.

    Returns:
        In [-1, 1]; 0 where `image` alone has no edges to compare, NaN where `reference` has none.
    """
    edges, expected = (_gradient(picture)[where].astype(np.float64) for picture in (image, reference))
    if not expected.size or expected.std() == 0:
        return float("nan")
    if edges.std() == 0:
        return 0.0
    return float(np.clip(np.corrcoef(edges, expected)[0, 1], -1, 1))


def ssim(image: np.ndarray, reference: np.ndarray, where: np.ndarray) -> float:
    """Mean structural similarity over the pixels of `where` (Wang et al. 2004, equation 13), mean over the channels.

    Args:
        image: `(H, W, 3)` in [0, 1].
        reference: The same.
        where: `(H, W)` bool; an empty one gives NaN.
    """
    return float(ssim_map(image, reference)[where].mean()) if where.any() else float("nan")


def ssim_map(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The structural similarity around every pixel, `(H, W)`, of images `(H, W, 3)` in [0, 1]."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (WINDOW_SIDE, WINDOW_SIDE), WINDOW_SIGMA, borderType=cv2.BORDER_REFLECT)

    x, y = image.astype(np.float64), reference.astype(np.float64)
    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + STABILITY[0]) * (2 * covariance + STABILITY[1])
    scale = (mean_x**2 + mean_y**2 + STABILITY[0]) * (variance_x + variance_y + STABILITY[1])
    return np.asarray((likeness / scale).mean(-1))


def _gradient(image: np.ndarray) -> np.ndarray:
    """The luminance's gradient magnitude, `(H, W)` float32."""
    luminance = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.hypot(cv2.Sobel(luminance, cv2.CV_32F, 1, 0), cv2.Sobel(luminance, cv2.CV_32F, 0, 1))
