"""The quality benchmark's rows as tables, a page and a picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from markdown_it import MarkdownIt
from PIL import Image

from benchmarks.edits import Edit
from benchmarks.methods import OURS
from benchmarks.tables import markdown
from editing.sheet import draw_sheet

IDENTICAL = 60.0  # dB, as which identical pixels count in a mean
SAMPLES = 8  # edits in the picture
SAMPLE = "![some of the edits by every method](sheet.png)"

KEPT = {
    "before_psnr": "PSNR before (dB)",
    "before_ssim": "SSIM before",
    "before_mse": "MSE before (‰)",
    "after_psnr": "PSNR after (dB)",
    "after_ssim": "SSIM after",
    "after_mse": "MSE after (‰)",
}
PIE_BENCH = {name.replace("_", "_pie_", 1): heading for name, heading in KEPT.items()}
DONE = {
    "color_drawn": "colour drawn (%)",
    "color": "colour in the result (%)",
    "petals": "petals in the result (%)",
    "label": "named as asked (%)",
    "iou": "mask IoU",
    "edges": "edges kept",
}
LEARNED = {
    "clip_score": "CLIP score",
    "clip_score_edited": "CLIP score of the edited part",
    "structure_distance": "structure distance (‰)",
    "structure_distance_of_pie_bench": "structure distance of PIE-Bench (‰)",
    "lpips": "LPIPS (‰)",
}
SHOWN = {"before_psnr": KEPT["before_psnr"], "after_psnr": KEPT["after_psnr"], **DONE}
COST = {"seconds": "time", "memory": "memory"}
SMALL = ("mse", "structure_distance", "structure_distance_of_pie_bench", "lpips")  # ends of names; less is better

NOTES = """
**Kept.** What lies outside the ground truth's region of the edit, over those pixels alone. *Before*: what the model
drew against the autoencoder's own reconstruction of the photo, at the model's size, so that only the edit is judged.
*After*: the finished composite against the photo, at the photo's size. PSNR (identical pixels count as 60 dB), MSE, and
SSIM (Wang et al. 2004).

**Kept, in PIE-Bench's definition** (Ju et al., ICLR 2024). The same pairs, but the rest is blackened and counts as
right, so that a large region makes for better figures.

**Done.** *Colour*: share of the region's pixels that have the asked colour, in what the model drew and in the result;
a real photo has its own colour on about three quarters of them, since hearts, rims and shadows belong to a flower too.
*Petals*: the same over those pixels alone that had the old colour. *Named as asked*: what the evaluation's classifier
sees in the result. *Mask IoU*: with the ground truth's region. *Edges kept*: correlation of the gradients of result and
photo inside the region; 1 is the photo's own structure, which a change of colour should keep and a change of species
cannot.

**Cost.** As a multiple of edit-real's in the same run, inversion included; edits of one photo share its inversion. Peak
memory is the whole process's.
"""


def mean(rows: Iterable[Mapping[str, Any]], name: str) -> float:
    """Over the rows that have the measure; NaN where none has."""
    values = np.array([row[name] for row in rows if not row["error"] and name in row], float)
    values = np.minimum(values, IDENTICAL) if name.endswith("psnr") else values
    values = values[~np.isnan(values)] * (1000 if name.endswith(SMALL) else 1)
    return float(values.mean()) if values.size else float("nan")


def by_method(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    return {name: [row for row in rows if row["method"] == name] for name in dict.fromkeys(r["method"] for r in rows)}


def table(rows: Sequence[Mapping[str, Any]], measures: Mapping[str, str]) -> str:
    """The means of each method; a measure that no row has is left out."""
    methods = by_method(rows)
    means = {name: {key: mean(own, key) for key in measures} for name, own in methods.items()}
    present = [key for key in measures if any(not np.isnan(row[key]) for row in means.values())]
    lines = [{"method": name} | {measures[key]: _cell(row[key]) for key in present} for name, row in means.items()]
    return markdown(lines)


def cost_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Time and memory of each method as multiples of ours."""
    methods = by_method(rows)
    ours = {key: mean(methods[OURS], key) for key in COST}
    return markdown(
        [
            {"method": name} | {heading: f"{_cell(mean(own, key) / ours[key])} ×" for key, heading in COST.items()}
            for name, own in methods.items()
        ]
    )


def behind(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Kind by kind, each measure of preservation and success in which another method is ahead of ours."""
    found: list[dict[str, object]] = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        methods = by_method([row for row in rows if row["kind"] == kind])
        for key, heading in {**SHOWN, **LEARNED}.items():
            if key == "edges" and kind not in ("colour swap", "reweighting"):
                continue
            means = {name: mean(own, key) for name, own in methods.items()}
            ours, sign = means.pop(OURS), -1 if key.endswith(SMALL) else 1
            better = {name: value for name, value in means.items() if sign * value > sign * ours}
            if better:
                best = max(better, key=lambda name: sign * better[name])
                found.append(
                    {"edits": kind, "measure": heading, OURS: _cell(ours), "best": _cell(better[best]), "of": best}
                )
    return found


def report(rows: Sequence[Mapping[str, Any]], steps: int, missing: Mapping[str, str]) -> str:
    """Everything as Markdown."""
    failed = [row for row in rows if row["error"]]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    counts = {kind: len({row["name"] for row in rows if row["kind"] == kind}) for kind in kinds}
    parts = [
        "# Edits, measured",
        "Photos are edited by every method, each edit is judged against ground truth, and the means are below; what "
        "the columns say is at the end.",
        f"{sum(counts.values())} edits, {steps} steps: "
        f"{', '.join(f'{count} {kind}' for kind, count in counts.items())}.",
        SAMPLE,
        "## All edits",
        table(rows, {**{key: KEPT[key] for key in ("before_psnr", "before_ssim", "after_psnr", "after_ssim")}, **DONE}),
        "## Kind by kind",
    ]
    for kind in kinds:
        own = [row for row in rows if row["kind"] == kind]
        parts += [f"### {kind}, {counts[kind]} edits", table(own, SHOWN)]
    parts += ["## Where another row is ahead", markdown(behind(rows)) if behind(rows) else "Nowhere."]
    parts += ["## Kept, over the kept pixels alone", table(rows, KEPT)]
    parts += ["## Kept, in PIE-Bench's definition", table(rows, PIE_BENCH)]
    if any(key in row for row in rows for key in LEARNED):
        parts += ["## By learned measures", table(rows, LEARNED)]
    for reason in dict.fromkeys(missing.values()):
        names = ", ".join(name for name, why in missing.items() if why == reason)
        parts.append(f"Not available: {names}, since {reason}.")
    parts += ["## Cost", cost_table(rows), "## What the columns say", NOTES.strip()]
    parts += [f"*{row['method']}, {row['name']}: failed, {row['error']}.*" for row in failed]
    return "\n\n".join(parts) + "\n"


def _cell(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def jpeg(image: np.ndarray) -> bytes:
    """`(H, W, 3)` uint8 as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def draw_samples(rows: Sequence[Mapping[str, Any]], edits: Sequence[Edit]) -> Image.Image:
    """Some edits, evenly spread over the list, a line each: the photo and what every method made of it."""
    chosen = [edits[int(place)] for place in np.linspace(0, len(edits) - 1, min(SAMPLES, len(edits)))]
    methods = list(by_method(rows))
    pictures = {(row["name"], row["method"]): row["picture"] for row in rows if not row["error"]}
    panels = []
    for edit in chosen:
        photo = Image.fromarray(edit.photo)
        panels.append((edit.caption.removeprefix("a photo of "), photo))
        for name in methods:
            picture = pictures.get((edit.name, name))
            title = _asked(edit) if name == OURS else name
            panels.append((title, Image.open(io.BytesIO(picture)) if picture else Image.new("RGB", photo.size)))
    return draw_sheet(panels, f"photo · {' · '.join(methods)}", columns=1 + len(methods))


def _asked(edit: Edit) -> str:
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


def page(rows: Sequence[Mapping[str, Any]], edits: Sequence[Edit], steps: int, missing: Mapping[str, str]) -> str:
    """The report and every picture as one HTML page that needs no other file and no network."""
    strips = []
    for edit in edits:
        own = [row for row in rows if row["name"] == edit.name and not row["error"]]
        figures = [_figure("photo", jpeg(edit.photo)), *(_figure(row["method"], row["picture"]) for row in own)]
        title = f"{edit.kind}: {edit.caption} → {_asked(edit)}"
        strips.append(f"<h3>{escape(title)}</h3>\n<div class='edit'>{''.join(figures)}</div>")
    tables = report(rows, steps, missing).replace(f"{SAMPLE}\n\n", "")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>Edits, measured</title>
<style>{_STYLE}</style>
</head>
<body>
{MarkdownIt("js-default").render(tables)}
<h2>Every edit</h2>
{"".join(strips)}
</body>
</html>
"""


def _figure(name: str, picture: bytes) -> str:
    url = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
    return f'<figure><img src="{url}" alt="{escape(name)}"><figcaption>{escape(name)}</figcaption></figure>'
