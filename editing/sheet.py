"""One picture that shows a whole edit."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

PANEL = 320  # longer side of a panel in pixels


def overlay_heat(photo: Image.Image, heat: Image.Image) -> Image.Image:
    """The photo in grey under a heat map (L, same size) in colour."""
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


def draw_sheet(
    panels: Sequence[tuple[str, Image.Image]], title: str, notes: Sequence[str] = (), *, columns: int = 4
) -> Image.Image:
    """Captioned panels in rows of `columns`, a title above and notes below."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    width, height = panels[0][1].size
    scale = PANEL / max(width, height)
    inches = (columns * (width * scale + 16) / 100, (rows * (height * scale + 34) + 40 + 18 * len(notes)) / 100)
    figure = Figure(figsize=(max(inches[0], 6.4), inches[1]), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=11)
    for index, (name, image) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        shrunk = image.convert("RGB")
        shrunk.thumbnail((2 * PANEL, 2 * PANEL))
        axes.imshow(np.asarray(shrunk))
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()
    if notes:
        figure.supxlabel("\n".join(notes), fontsize=8, x=0.01, ha="left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


def draw_strip(panels: Sequence[tuple[str, Image.Image]], title: str) -> Image.Image:
    """Captioned panels in one row, for sweeps."""
    return draw_sheet(panels, title, columns=len(panels))


def format_metrics(metrics: Mapping[str, float]) -> str:
    """The figures of an edit in one line, without those that do not apply."""
    units = {
        "ceiling_psnr": ("autoencoder's ceiling", "dB"),
        "reconstruction_psnr": ("reconstruction", "dB"),
        "outside_psnr": ("outside the mask before compositing", "dB"),
        "mask_share": ("mask", "% of the photo"),
        "change_inside": ("change inside", "%"),
    }
    known = {key: value for key, value in metrics.items() if not math.isnan(value)}
    return " · ".join(f"{label} {known[key]:.1f} {unit}" for key, (label, unit) in units.items() if key in known)
