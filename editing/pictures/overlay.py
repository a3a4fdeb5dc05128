"""A map or a mask laid over its photo."""

from __future__ import annotations

import numpy as np
from PIL import Image


def overlay_heat(photo: Image.Image, heat: Image.Image) -> Image.Image:
    """The photo in grey under a heat map (L, same size) in colour."""
    from matplotlib import colormaps  # takes its time, and is needed only here

    grey = np.asarray(photo.convert("L"), np.float32)[..., None] / 255
    level = np.asarray(heat, np.float32)[..., None] / 255
    color = colormaps["inferno"](level[..., 0])[..., :3]
    return Image.fromarray(np.rint((0.45 * grey + 0.55 * color) * 255).astype(np.uint8))


def overlay_mask(photo: Image.Image, mask: Image.Image) -> Image.Image:
    """The photo with what lies outside the mask (L, same size) darkened and bleached."""
    pixels = np.asarray(photo.convert("RGB"), np.float32)
    weight = np.asarray(mask, np.float32)[..., None] / 255
    outside = 0.25 * pixels.mean(-1, keepdims=True)
    return Image.fromarray(np.rint(pixels * weight + outside * (1 - weight)).astype(np.uint8))
