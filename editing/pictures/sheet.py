"""One picture that shows a whole edit."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image

from backbones.quiet import without_warnings

PANEL = 320  # longer side of a panel in pixels
TITLE, NOTE = 11, 8  # sizes of letters in points, 72 an inch
LETTER = 0.6  # width of a letter on average, as a share of its size


def draw_sheet(
    panels: Sequence[tuple[str, Image.Image]], title: str, notes: Sequence[str] = (), *, columns: int = 4
) -> Image.Image:
    """Captioned panels in rows of `columns`, a title above and notes below, in as many lines as they need."""
    from matplotlib.figure import Figure  # takes its time, and is needed only here

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    width, height = panels[0][1].size
    scale = PANEL / max(width, height)
    inches = max(columns * (width * scale + 16) / 100, 6.4)
    above, below = _lines([title], inches, TITLE), _lines(notes, inches, NOTE)
    pixels = rows * (height * scale + 34) + 22 + 18 * max(1, len(above)) + 18 * len(below)
    figure = Figure(figsize=(inches, pixels / 100), dpi=100, layout="constrained")
    figure.suptitle("\n".join(above), fontsize=TITLE, parse_math=False)
    for index, (name, image) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        shrunk = image.convert("RGB")
        shrunk.thumbnail((2 * PANEL, 2 * PANEL))
        axes.imshow(np.asarray(shrunk))
        axes.set_title(name, fontsize=9, parse_math=False)
        axes.set_axis_off()
    if below:
        figure.supxlabel("\n".join(below), fontsize=NOTE, x=0.01, ha="left", parse_math=False)
    buffer = io.BytesIO()
    with without_warnings():  # of letters that the font lacks
        figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


def _lines(texts: Sequence[str], inches: float, size: float) -> list[str]:
    """Texts in lines that fit a width, in letters of `size` points."""
    return [line for text in texts for line in textwrap.wrap(text, int(72 * inches / (LETTER * size)))]


def draw_strip(panels: Sequence[tuple[str, Image.Image]], title: str) -> Image.Image:
    """Captioned panels in one row, for sweeps."""
    return draw_sheet(panels, title, columns=len(panels))
