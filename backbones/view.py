"""What a model sees of a photo."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from backbones.backbone import Backbone
from backbones.geometry import Geometry, plan_geometry
from backbones.photo import Photo
from backbones.pixels import to_pixels


@dataclass(frozen=True, eq=False)
class View:
    """A photo, or a region of it, at a model's size.

    Attributes:
        photo: The photo.
        geometry: Which part of it, and at what size.
        pixels: That part, `(1, 3, h, w)` float32 in [-1, 1] on the CPU.
        latents: The same as the model has it, `(1, C, h, w)` float32 on its device.
    """

    photo: Photo
    geometry: Geometry
    pixels: torch.Tensor
    latents: torch.Tensor

    @cached_property
    def part(self) -> np.ndarray:
        """What of the photo the model sees, at the photo's own resolution, `(bottom - top, right - left, 3)` uint8."""
        image = self.photo.image
        return np.asarray(image if self.geometry.is_whole else image.crop(self.geometry.box))


def look_at(backbone: Backbone, photo: Photo, region: tuple[int, int, int, int] | None = None) -> View:
    """Geometry, pixels and latents of a photo.

    Args:
        backbone: The model.
        photo: The photo.
        region: The part (left, top, right, bottom) of the upright photo to work on; all of it by default.

    Raises:
        EditRealError: The region is not inside the photo, or what is left is too small or too long and thin.
    """
    geometry = plan_geometry(photo.size, backbone.image_size, backbone.size_multiple, region)
    pixels = to_pixels(photo, geometry)
    return View(photo, geometry, pixels, backbone.encode(pixels))
