"""What an edit kept of the photo, and how much of it took the asked colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.functional.regression import mean_squared_error

from editing.likeness import ssim
from editing.verdict import psnr
from training.colors import color_masks


def background(image: np.ndarray, reference: np.ndarray, kept: np.ndarray) -> dict[str, float]:
    """How well an edit keeps what it should not touch, over the pixels of `kept` alone.

    Args:
        image: The edit, `(H, W, 3)` uint8.
        reference: The photo, the same.
        kept: `(H, W)` bool, the pixels that should stay; where it is empty, every figure is NaN.

    Returns:
        `psnr` in dB, infinite where nothing changed; `ssim` in [-1, 1], whose Gaussian windows reach five pixels beyond
        the border of `kept`; `mse` of intensities in [0, 1].
    """
    edited, photo = image / 255.0, reference / 255.0
    errors = np.square(edited - photo)[kept]
    return {
        "psnr": psnr(edited, photo, kept),
        "ssim": ssim(edited, photo, kept),
        "mse": float(errors.mean()) if errors.size else float("nan"),
    }


def background_of_pie_bench(image: np.ndarray, reference: np.ndarray, kept: np.ndarray) -> dict[str, float]:
    """The figures of `background` as PIE-Bench defines them (Ju et al., "PnP Inversion", ICLR 2024).

    Both images are black outside `kept`, and the errors are averaged over the whole frame: the black pixels, which are
    always alike, count as kept. The larger the edited part, the better these figures look beside `background`'s.

    Args:
        image: The edit, `(H, W, 3)` uint8, of six pixels a side at least.
        reference: The photo, the same.
        kept: `(H, W)` bool, the pixels that should stay; where it is empty, every figure is NaN.

    Returns:
        `psnr` in dB, infinite where nothing changed; `ssim` in [-1, 1]; `mse` of intensities in [0, 1].
    """
    if not kept.any():
        return dict.fromkeys(("psnr", "ssim", "mse"), float("nan"))
    edited, photo = (to_tensor(picture * kept[..., None]) for picture in (image, reference))
    figures: dict[str, Any] = {
        "psnr": peak_signal_noise_ratio(edited, photo, data_range=1.0),
        "ssim": structural_similarity_index_measure(edited, photo, data_range=1.0),
        "mse": mean_squared_error(edited, photo),
    }
    return {name: float(value) for name, value in figures.items()}


def color_share(image: np.ndarray, region: np.ndarray, color: str) -> float:
    """Per cent of a region's pixels that have a colour's name; NaN where the region is empty.

    Args:
        image: `(H, W, 3)` uint8.
        region: `(H, W)` bool.
        color: One of the names that `training.colors.color_masks` gives.
    """
    return 100 * float(color_masks(image)[color][region].mean()) if region.any() else float("nan")


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """`(H, W, 3)` uint8 to `(1, 3, H, W)` float32 in [0, 1]."""
    return torch.tensor(image, dtype=torch.float32).permute(2, 0, 1).contiguous()[None] / 255
