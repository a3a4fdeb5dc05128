"""The quality benchmark's pictures: a sheet of some edits, and a page of all."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from markdown_it import MarkdownIt
from PIL import Image

from benchmarks.edits import Edit
from benchmarks.judge import SIGN
from benchmarks.methods import OURS
from benchmarks.report import SHEET
from editing.pictures.page import document
from editing.pictures.sheet import draw_sheet

SAMPLES = 8  # edits in the sheet
FIRST = 40  # edits on the page of photos and results
SIDE = 288  # pixels of a picture's longer side in the page


def thumbnail(image: np.ndarray) -> bytes:
    """`(H, W, 3)` uint8 as JPEG, its longer side at most `SIDE`."""
    shrunk, buffer = Image.fromarray(image), io.BytesIO()
    shrunk.thumbnail((SIDE, SIDE))
    shrunk.save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def draw_samples(rows: Sequence[Mapping[str, Any]], edits: Sequence[Edit]) -> Image.Image:
    """Some edits, evenly spread over the list, a line each: the photo and what every method made of it."""
    chosen = [edits[int(place)] for place in np.linspace(0, len(edits) - 1, min(SAMPLES, len(edits)))]
    methods = list(dict.fromkeys(row["method"] for row in rows if not row["error"]))
    pictures = {(row["name"], row["method"]): row["picture"] for row in rows if not row["error"]}
    panels = []
    for edit in chosen:
        photo = thumbnail(edit.photo)
        panels.append((edit.caption.removeprefix("a photo of "), _open(photo)))
        for name in methods:
            title = asked(edit) if name == OURS else name
            picture = pictures.get((edit.name, name))
            panels.append((title, _open(picture)) if picture else (f"{title}: failed", _open(photo)))
    return draw_sheet(panels, "the photo, and what each method made of it", columns=1 + len(methods))


def draw_first(rows: Sequence[Mapping[str, Any]], edits: Sequence[Edit], number: int = FIRST) -> Image.Image:
    """The first edits of the list, whatever came of them: each photo beside our result and its trust."""
    found = {row["name"]: row for row in rows if row["method"] == OURS}
    panels = []
    for edit in edits[:number]:
        row, photo = found[edit.name], thumbnail(edit.photo)
        panels.append((edit.caption.removeprefix("a photo of "), _open(photo)))
        title = "failed" if row["error"] else asked(edit)
        trust = float(row.get(f"{SIGN}trust", math.nan))  # NaN of a model that has none fitted to it
        panels.append((title if math.isnan(trust) else f"{title}, trust {trust:.2f}", _open(row.get("picture", photo))))
    return draw_sheet(panels, "the photo, and what came of it", columns=8)


def _open(picture: bytes) -> Image.Image:
    return Image.open(io.BytesIO(picture))


def asked(edit: Edit) -> str:
    """What an edit asks for, in short."""
    weights = ", ".join(f"{word} × {weight:g}" for word, weight in edit.reweight.items())
    return weights or edit.new_caption.removeprefix("a photo of ")


_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 100rem; margin: 0 auto; padding: 1rem; }
table { border-collapse: collapse; font-size: .85rem; display: block; overflow-x: auto; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8886; }
th:first-child, td:first-child { text-align: left; }
.edit { display: flex; gap: .4rem; overflow-x: auto; margin-bottom: 1rem; }
figure { margin: 0; flex: 0 0 9rem; }
figure img { width: 100%; display: block; }
figcaption { font-size: .75rem; line-height: 1.3; }
"""


def page(text: str, rows: Sequence[Mapping[str, Any]], edits: Sequence[Edit]) -> str:
    """The report, Markdown, and every picture as one HTML page that needs no other file and no network."""
    tables = MarkdownIt("js-default").render(text.replace(SHEET, ""))
    strips = []
    for edit in edits:
        own = [row for row in rows if row["name"] == edit.name and not row["error"]]
        figures = [("photo", thumbnail(edit.photo)), *((row["method"], row["picture"]) for row in own)]
        title = f"{edit.kind}: {edit.caption} → {asked(edit)}"
        strips.append(f"<h3>{escape(title)}</h3>\n<div class='edit'>{''.join(_figure(*one) for one in figures)}</div>")
    return document("Edits, measured", _STYLE, f"{tables}\n<h2>Every edit</h2>\n{''.join(strips)}")


def _figure(name: str, picture: bytes) -> str:
    url = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
    return f'<figure><img src="{url}" alt="{escape(name)}"><figcaption>{escape(name)}</figcaption></figure>'
