"""The decoder's features as one picture: a row for each layer, a column for each step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from backbones.attention import Site
from backbones.photo import Photo
from editing.features import principal_colors
from editing.pictures.sheet import draw_sheet
from inversion.trajectory import Trajectory


def draw_features(
    features: Sequence[tuple[Site, torch.Tensor]], trajectory: Trajectory, photo: Photo, steps: Sequence[int]
) -> Image.Image:
    """The photo, and under it each layer's three main components as red, green and blue.

    Args:
        features: From `decoder_features`.
        trajectory: Of the photo.
        photo: The photo.
        steps: Those of the features.
    """
    left, top, right, bottom = trajectory.geometry.box
    seen = photo.image.crop((left, top, right, bottom))
    blank = Image.new("RGB", seen.size, "white")
    panels = [("photo", seen), *[("", blank)] * (len(steps) - 1)]
    for number, (site, of_layer) in enumerate(features, start=1):
        for step, colors in zip(steps, principal_colors(of_layer).cpu().numpy(), strict=True):
            small = Image.fromarray(np.rint(colors * 255).astype(np.uint8))
            name = f"layer {number}, {site.height}x{site.width}, {step} of {trajectory.steps} steps done"
            panels.append((name, small.resize(seen.size, Image.Resampling.BICUBIC)))
    return draw_sheet(panels, trajectory.caption, columns=len(steps))
