"""The contact sheet: every edit over its photo, the most doubtful first, in pages that a browser can hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from editing.pictures.page import document
from editing.verdict import format_metrics
from studio.batch.ledger import DONE
from studio.batch.store import RESULT, Store

ROWS = 1000  # on a page
NAME = "index.html"
BESIDE = "img-src 'self' file: data:"  # pictures that lie beside the page, and none from elsewhere

_STYLE = """
:root { --at: 50%; color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
* { box-sizing: border-box; }
body { max-width: 110rem; margin: 0 auto; padding: 0 1rem 2rem; }
h1 { font-size: 1.3rem; font-weight: 600; margin: .8rem 0 .2rem; }
header p { margin: 0; }
.bar { position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center;
  padding: .6rem 0; background: Canvas; border-bottom: 1px solid #8886; }
.bar label { display: flex; gap: .5rem; align-items: center; }
.bar .slide { flex: 1 1 16rem; }
.bar .slide input { flex: 1; min-width: 0; }
.bar input[type=search], .bar select { font: inherit; padding: .15rem .4rem; }
.bar .find { flex: 1 1 7rem; max-width: 16rem; }
.bar .find input { width: 100%; }
.cards { display: grid; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.1rem;
  padding-top: 1rem; }
.card { margin: 0; min-width: 0; content-visibility: auto; contain-intrinsic-size: auto 22rem; }
.card[hidden] { display: none; }
.pair { position: relative; cursor: ew-resize; touch-action: pan-y; user-select: none; background: #8882; }
.pair img { display: block; width: 100%; height: auto; }
.pair .before { position: absolute; inset: 0; height: 100%; clip-path: inset(0 calc(100% - var(--at)) 0 0); }
.pair::after { content: ""; position: absolute; inset: 0 auto 0 var(--at); width: 2px; background: #fff;
  box-shadow: 0 0 3px #000; }
figcaption { font-size: .85rem; padding-top: .3rem; overflow-wrap: anywhere; }
figcaption p { margin: .1rem 0; }
.words { font-weight: 600; }
.faint { opacity: .75; }
.trouble { border-left: 3px solid #d97706; padding-left: .5rem; }
.failed { border: 1px solid #dc2626; border-radius: 4px; padding: .6rem; contain-intrinsic-size: auto 9rem; }
nav { display: flex; flex-wrap: wrap; gap: .6rem; padding-top: 1.2rem; }
"""

_SCRIPT = """
const root = document.documentElement, slider = document.querySelector("input[type=range]");
const cards = [...document.querySelectorAll(".card")], shown = document.querySelector("#shown");
const which = document.querySelector("select"), search = document.querySelector("input[type=search]");
slider.addEventListener("input", () => {
  root.style.setProperty("--at", slider.value + "%");
  for (const pair of document.querySelectorAll(".pair[style]")) pair.style.removeProperty("--at");
});
const follow = (event) => {
  const pair = event.target.closest && event.target.closest(".pair");
  if (!pair || (event.type === "pointermove" && event.pointerType !== "mouse" && !event.buttons)) return;
  const box = pair.getBoundingClientRect();
  const at = Math.min(100, Math.max(0, 100 * (event.clientX - box.left) / box.width));
  pair.style.setProperty("--at", at + "%");
};
document.addEventListener("pointerdown", follow);
document.addEventListener("pointermove", follow);
const choose = () => {
  const words = search.value.toLowerCase();
  let count = 0;
  for (const card of cards) {
    const fits = (!which.value || card.dataset.kind === which.value) && card.textContent.toLowerCase().includes(words);
    card.hidden = !fits;
    count += fits;
  }
  shown.textContent = count + " of " + cards.length;
};
which.addEventListener("change", choose);
search.addEventListener("input", choose);
choose();
"""

FIGURES = ("trust", "mask_share", "change_inside")  # of those in a result, what a card shows
KINDS = {"failed": "failed", "warned": "with a warning", "fine": "without one"}


def write_pages(store: Store, lines: Sequence[Mapping[str, Any]]) -> None:
    """Writes `index.html`, and `page-2.html` and so on where there are more than `ROWS` rows."""
    ordered = sorted(lines, key=doubt)
    parts = [ordered[start : start + ROWS] for start in range(0, len(ordered), ROWS)]
    for number, part in enumerate(parts, start=1):
        text = contact_sheet(part, count_kinds(lines), number, len(parts))
        store.write(_name(number), text.encode("utf-8", "backslashreplace"))


def doubt(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """A row's place: failed ones first, then those with warnings, then by trust, then by how the surroundings held."""
    told = line.get("metrics", {})
    trust, held = told.get("trust"), told.get("outside_psnr")
    place = math.inf if trust is None else trust, -math.inf if held is None else held
    return line["status"] == DONE, -len(line.get("warnings", ())), *place, line["row"]


def kind_of(line: Mapping[str, Any]) -> str:
    """A key of `KINDS`."""
    return "failed" if line["status"] != DONE else "warned" if line["warnings"] else "fine"


def count_kinds(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows there are of each kind."""
    kinds = [kind_of(line) for line in lines]
    return {kind: kinds.count(kind) for kind in KINDS}


def contact_sheet(
    lines: Sequence[Mapping[str, Any]], counts: Mapping[str, int], number: int = 1, pages: int = 1
) -> str:
    """One page, HTML that needs no network; its pictures lie beside it.

    Args:
        lines: Of the ledger, in order.
        counts: Of all rows by kind, on this page and others.
        number: Of the page, from 1.
        pages: That there are.
    """
    told = ", ".join(f"{counts[kind]} {text}" for kind, text in KINDS.items() if counts[kind])
    choices = "".join(f'<option value="{kind}">{text}</option>' for kind, text in KINDS.items())
    others = "".join(
        f"<strong>{n}</strong>" if n == number else f'<a href="{_name(n)}">{n}</a>' for n in range(1, pages + 1)
    )
    nav = f"<nav>page {others}</nav>" if pages > 1 else ""
    failures, edits = (
        "".join(card(line) for line in lines if (line["status"] == DONE) is done) for done in (False, True)
    )
    content = f"""<header><h1>Contact sheet</h1>
<p>{sum(counts.values())} rows: {told}. The most doubtful come first.</p></header>
<div class="bar"><label class="slide"><span>edit</span><input type="range" min="0" max="100" step="any" value="50"
aria-label="how much of the photos is shown"><span>photo</span></label>
<label><select aria-label="which rows are shown"><option value="">all rows</option>{choices}</select></label>
<label class="find"><input type="search" placeholder="words or names" aria-label="search"></label>
<span class="faint" id="shown"></span></div>
{"".join(f"<section class='cards'>{cards}</section>" for cards in (failures, edits) if cards)}
{nav}"""
    return document("Contact sheet", _STYLE, content, _SCRIPT, images=BESIDE)


def card(line: Mapping[str, Any]) -> str:
    """A row: its pictures, what was asked, and what there is to say."""
    title = escape(" · ".join(str(part) for part in (f"row {line['row']}", line.get("name"), line["photo"]) if part))
    words = asked(line)
    if line["status"] != DONE:
        reason = f"<p>{escape(line['reason'])}</p>"
        told = f"<figcaption><p>{title}</p>{words}{reason}</figcaption>"
        return f"<figure class='card failed' data-kind='failed'>{told}</figure>\n"
    folder = escape(line["folder"])
    kind = kind_of(line)
    troubles = "".join(f"<p>{escape(warning)}</p>" for warning in line["warnings"])
    trouble = f"<div class='trouble'>{troubles}</div>" if troubles else ""
    figures = format_metrics({name: value for name in FIGURES if (value := line["metrics"].get(name)) is not None})
    links = [(line["image"], "image"), ("mask.png", "mask"), (line["sheet"], "sheet"), (RESULT, "figures")]
    linked = " · ".join(f"<a href='{folder}/{escape(name)}' target='_blank'>{text}</a>" for name, text in links if name)
    return f"""<figure class='card' data-kind='{kind}'><div class="pair"><img src="{folder}/after.jpg" loading="lazy"
alt="{escape(line["new_caption"])}" draggable="false"><img class="before" src="{folder}/before.jpg" loading="lazy"
alt="" draggable="false"></div><figcaption>{words}<p>{title}</p>{trouble}
<p class="faint">{escape(figures)}</p><p>{linked}</p></figcaption></figure>
"""


def asked(line: Mapping[str, Any]) -> str:
    """The two captions as HTML, as far as the row has them."""
    caption, new_caption = line.get("caption"), line.get("new_caption")
    if not caption or not new_caption:
        return ""
    return f"<p class='faint'>{escape(caption)} →</p><p class='words'>{changed_words(caption, new_caption)}</p>"


def changed_words(caption: str, new_caption: str) -> str:
    """The new caption as HTML, with the words marked that the old one does not have."""
    known = set(re.findall(r"\w+", caption.lower()))
    parts = re.split(r"(\w+)", new_caption)
    return "".join(
        f"<mark>{escape(part)}</mark>" if re.fullmatch(r"\w+", part) and part.lower() not in known else escape(part)
        for part in parts
    )


def _name(number: int) -> str:
    return NAME if number == 1 else f"page-{number}.html"
