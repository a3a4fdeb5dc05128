"""Photo to the model's pixels and back."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from backbones.errors import EditRealError
from backbones.geometry import Geometry
from backbones.photo import Photo


def to_pixels(photo: Photo, geometry: Geometry) -> torch.Tensor:
    """What the model sees of the photo: `(1, 3, H, W)` float32 in [-1, 1], resampled with an antialiased Lanczos.

    At the edges of the box the filter reaches a little beyond it, where the photo goes on.
    """
    if photo.size != geometry.photo_size:
        raise EditRealError(
            "expected the photo that the geometry was planned for, {}x{}, got one of {}x{}; plan its own".format(
                *geometry.photo_size, *photo.size
            )
        )
    height, width = geometry.working_size
    seen = photo.image.resize((width, height), Image.Resampling.LANCZOS, box=geometry.box)
    pixels = torch.from_numpy(np.array(seen)).permute(2, 0, 1).unsqueeze(0)
    return (pixels.to(torch.float32) / 127.5 - 1).contiguous()


def to_image(pixels: torch.Tensor) -> Image.Image:
    """Pixels `(1, 3, H, W)` in [-1, 1] to an RGB image; values beyond are clamped, levels rounded."""
    if pixels.ndim != 4 or pixels.shape[:2] != (1, 3):
        raise EditRealError(
            f"expected pixels of shape (1, 3, H, W), got {tuple(pixels.shape)}; pass one image at a time"
        )
    levels = (pixels.detach().cpu().float().clamp(-1, 1) + 1).mul(127.5).round().to(torch.uint8)
    return Image.fromarray(levels[0].permute(1, 2, 0).contiguous().numpy())


def to_unit(pixels: torch.Tensor) -> np.ndarray:
    """`(3, H, W)` in [-1, 1] to `(H, W, 3)` in [0, 1]."""
    return (pixels.permute(1, 2, 0).float().numpy() + 1) / 2


def unit_to_image(pixels: np.ndarray) -> Image.Image:
    """`(H, W, 3)` in [0, 1] to an RGB image, levels rounded."""
    return Image.fromarray(np.rint(pixels * 255).astype(np.uint8))


def with_alpha(image: Image.Image, photo: Photo) -> Image.Image:
    """An RGB image of the photo's size with the photo's transparency put back; as it is where there was none."""
    if photo.alpha is None:
        return image
    if image.size != photo.size:
        raise EditRealError(
            "expected an image of the photo's size, {}x{}, got {}x{}".format(*photo.size, *image.size)
            + "; resize it before its transparency is put back"
        )
    result = image.convert("RGB")
    result.putalpha(photo.alpha)
    return result
