"""A web page in one file that lays results over their photo, before and after."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

from PIL import Image

SIDE, QUALITY = 1280, 92  # longer side and JPEG quality of the pictures in the page

_STYLE = """
:root { --at: 50%; color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 80rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; font-weight: 600; }
.slider { position: sticky; top: 0; z-index: 1; display: flex; gap: 1rem; padding: .6rem 0; background: Canvas; }
.slider input { flex: 1; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1.2rem; }
figure { margin: 0; }
figcaption { font-size: .9rem; padding: .3rem 0; }
.pair { position: relative; cursor: ew-resize; touch-action: pan-y; user-select: none; }
.pair img { display: block; width: 100%; }
.before { position: absolute; inset: 0; background: var(--photo) 0 0 / 100% 100%;
  clip-path: inset(0 calc(100% - var(--at)) 0 0); }
.pair::after { content: ""; position: absolute; inset: 0 auto 0 var(--at); width: 2px; background: #fff;
  box-shadow: 0 0 3px #000; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #8886; }
th:first-child, td:first-child { text-align: left; }
"""

_SCRIPT = """
const slider = document.querySelector("input");
const show = () => document.documentElement.style.setProperty("--at", slider.value + "%");
slider.addEventListener("input", show);
for (const pair of document.querySelectorAll(".pair")) {
  const follow = (event) => {
    if (event.type === "pointermove" && event.pointerType === "mouse" && !event.buttons) return;
    const box = pair.getBoundingClientRect();
    slider.value = 100 * (event.clientX - box.left) / box.width;
    show();
  };
  pair.addEventListener("pointerdown", follow);
  pair.addEventListener("pointermove", follow);
}
show();
"""


def comparison_page(
    title: str,
    photo: Image.Image,
    results: Sequence[tuple[str, Image.Image]],
    rows: Sequence[Mapping[str, str]],
    notes: Sequence[str] = (),
) -> str:
    """The page, HTML that needs no network and no other file.

    Args:
        title: Above everything.
        photo: Before.
        results: Names and pictures of the photo's size, after.
        rows: A table, by column; all have the columns of the first.
        notes: Below it.
    """
    figures = "\n".join(
        f'<figure><div class="pair"><img src="{_embed(image)}" alt="{escape(name)}" draggable="false">'
        f'<div class="before"></div></div><figcaption>{escape(name)}</figcaption></figure>'
        for name, image in results
    )
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in rows[0])
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row.values()) + "</tr>" for row in rows)
    content = f"""<h1>{escape(title)}</h1>
<div class="slider"><span>after</span><input type="range" min="0" max="100" step="any" value="50"
aria-label="how much of the photo before is shown"><span>before</span></div>
<div class="pairs">
{figures}
</div>
<div class="table"><table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table></div>
{"".join(f"<p>{escape(note)}</p>" for note in notes)}"""
    return document(title, f":root {{ --photo: url({_embed(photo)}); }}{_STYLE}", content, _SCRIPT)


def document(title: str, style: str, content: str, script: str = "", images: str = "img-src data:") -> str:
    """An HTML page that may show and run nothing but what it holds itself.

    Args:
        title: Of the browser's window, as text.
        style: CSS.
        content: HTML.
        script: JavaScript; a page without one may run none.
        images: Which pictures it may show, in the words of a content security policy.
    """
    policy = f"default-src 'none'; {images}; style-src 'unsafe-inline'"
    if script:
        policy += "; script-src 'unsafe-inline'"
        content += f"\n<script>{script}</script>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{content}
</body>
</html>
"""


def _embed(image: Image.Image) -> str:
    """A picture as a data URL, shrunk to what a page can show."""
    shrunk = image.convert("RGB")
    shrunk.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    shrunk.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
