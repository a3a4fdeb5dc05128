"""One picture that shows a whole edit."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

PANEL = 320  # longer side of a panel in pixels


def draw_sheet(
    panels: Sequence[tuple[str, Image.Image]], title: str, notes: Sequence[str] = (), *, columns: int = 4
) -> Image.Image:
    """Captioned panels in rows of `columns`, a title above and notes below."""
    from matplotlib.figure import Figure  # takes its time, and is needed only here

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    width, height = panels[0][1].size
    scale = PANEL / max(width, height)
    inches = (columns * (width * scale + 16) / 100, (rows * (height * scale + 34) + 40 + 18 * len(notes)) / 100)
    figure = Figure(figsize=(max(inches[0], 6.4), inches[1]), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    for index, (name, image) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        shrunk = image.convert("RGB")
        shrunk.thumbnail((2 * PANEL, 2 * PANEL))
        axes.imshow(np.asarray(shrunk))
        axes.set_title(name, fontsize=9, parse_math=False)
        axes.set_axis_off()
    if notes:
        figure.supxlabel("\n".join(notes), fontsize=8, x=0.01, ha="left", parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


def draw_strip(panels: Sequence[tuple[str, Image.Image]], title: str) -> Image.Image:
    """Captioned panels in one row, for sweeps."""
    return draw_sheet(panels, title, columns=len(panels))
