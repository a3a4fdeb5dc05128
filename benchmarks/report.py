"""The quality benchmark's rows as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.methods import METHODS, OURS
from benchmarks.truths import is_sound
from workshop.tables import markdown

IDENTICAL = 60.0  # dB, as which identical pixels count in a mean
SHEET = "![some of the edits by every method](sheet.png)"

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
    "petals": "old colour's pixels in the result (%)",
    "label": "named as asked (%)",
    "iou": "mask IoU",
    "iou_border": "mask IoU, border as animal",
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
OVERALL = {**{name: KEPT[name] for name in ("before_psnr", "before_ssim", "after_psnr", "after_ssim")}, **DONE}
SAME_STRUCTURE = ("colour swap", "reweighting")  # kinds of edits that change no shape
COST = {"seconds": "time", "memory": "memory"}
SMALL = ("mse", "structure_distance", "structure_distance_of_pie_bench", "lpips")  # ends of names; less is better

NOTES = """
**Kept.** What lies outside the ground truth's region of the edit, over those pixels alone. *Before*: what the model
drew against the autoencoder's own reconstruction of the photo, at the model's size, so that only the edit is judged.
*After*: the finished composite against the photo, at the photo's size. PSNR (identical pixels count as 60 dB), MSE, and
SSIM (Wang et al. 2004). Where a small thing was looked at closer, what the model drew is of that part of the photo
alone, and so are *before* and *colour drawn*.

**Kept, in PIE-Bench's definition** (Ju et al., ICLR 2024). The same pairs, but the rest is blackened and counts as
right, so that a large region makes for better figures.

**Done.** *Colour*: share of the region's pixels that have the asked colour, in what the model drew and in the result.
Hearts, rims and shadows belong to a flower's region too, so a photo's own flower does not reach 100 % either; the line
under a table tells what it reaches. *Old colour's pixels*: the same over those pixels of the region alone that had the
colour which the old caption names. *Named as asked*: what the evaluation's classifier sees in the result. *Mask IoU*:
with the ground truth's region. An animal's was drawn by people as a trimap, whose border, of which they do not say
whether it is animal or ground, is left out; of the animals alone it is given with the border as animal too, which a
mask along the animal's outline cannot fill. *Edges kept*: correlation of the gradients of result and photo inside the
region; 1 is the photo's own structure, which a change of colour should keep and a change of species cannot.

**Ground truth that is sound.** Most regions were found by a photo's colours, and some are wrong to the eye: a trouser
leg is missing, or a wall is part of the flower. A vision-language model was asked three times, with photos and regions
alone and no edit, where a region misses or takes in more than a tenth of what the caption names, or the caption names
something else; where two answers agree, `benchmarks/unsound.json` has the photo. Edits of such photos are left out of
the table of sound ground truths, where there is one, and count in all others.

**Cost.** As a multiple of edit-real's in the same run, inversion included; edits of one photo with the same caption
share it. Peak memory is what torch took of a CUDA device, else the whole process's.
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
    """Kind by kind, each measure of preservation and success in which another method is ahead of ours.

    Inpainting under the true mask is left out where its mask is judged, which it was handed.
    """
    found: list[dict[str, object]] = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        methods = by_method([row for row in rows if row["kind"] == kind])
        for key, heading in {**SHOWN, **LEARNED}.items():
            if key == "edges" and kind not in SAME_STRUCTURE:
                continue
            handed = [name for name, method in METHODS.items() if method.mask == "truth" and key.startswith("iou")]
            means = {name: mean(own, key) for name, own in methods.items() if name not in handed}
            ours, sign = means.pop(OURS), -1 if key.endswith(SMALL) else 1
            better = {name: value for name, value in means.items() if sign * value > sign * ours}
            best = max(better, key=lambda name: sign * better[name], default=OURS)
            if better and _cell(better[best]) != _cell(ours):
                line = {"edits": kind, "measure": heading, OURS: _cell(ours), "best": _cell(better[best]), "of": best}
                found.append(line)
    return found


def report(rows: Sequence[Mapping[str, Any]], steps: int, missing: Mapping[str, str]) -> str:
    """Everything as Markdown: the means over those edits that every method could do, methods that failed always aside.

    Args:
        rows: For each edit and method what `judge.measure` returns, with `method`, `name`, `kind` and `error`.
        steps: Denoising steps.
        missing: Why measures are not available, by measure.
    """
    failed = [row for row in rows if row["error"]]
    hopeless = {name for name, own in by_method(rows).items() if all(row["error"] for row in own)}
    incomplete = {row["name"] for row in failed if row["method"] not in hopeless}
    rows = [row for row in rows if row["method"] not in hopeless and row["name"] not in incomplete]
    left_out = [f"*Left out, since {row['method']} failed: {row['name']}, {row['error']}.*" for row in failed]
    if OURS not in by_method(rows):
        return "\n\n".join(["# Edits, measured", f"There is no edit that {OURS} and the others did.", *left_out]) + "\n"
    names = {
        kind: {row["name"] for row in rows if row["kind"] == kind} for kind in dict.fromkeys(r["kind"] for r in rows)
    }
    parts = [
        "# Edits, measured",
        "Photos are edited by every method, each edit is judged against ground truth, and the means are below; what "
        "the columns say is at the end.",
        f"{sum(map(len, names.values()))} edits, {steps} steps: "
        f"{', '.join(f'{len(own)} {kind}' for kind, own in names.items())}.",
        SHEET,
        "## All edits",
        table(rows, OVERALL),
    ]
    sound = [row for row in rows if is_sound(row["name"])]
    if 0 < len(sound) < len(rows):
        number = len({row["name"] for row in sound})
        parts += [f"## Edits whose ground truth is sound, {number}", table(sound, OVERALL)]
    parts.append("## Kind by kind")
    for kind, own in names.items():
        of_kind = [row for row in rows if row["kind"] == kind]
        parts += [f"### {kind}, {len(own)} edits", table(of_kind, SHOWN)]
        if not np.isnan(before := mean(of_kind, "old_color")):
            parts.append(f"In the photos, {_cell(before)} % of the region has the colour that the old caption names.")
    ahead = behind(rows)
    parts += ["## Where another row is ahead", markdown(ahead) if ahead else "Nowhere."]
    parts += ["## Kept, over the kept pixels alone", table(rows, KEPT)]
    parts += ["## Kept, in PIE-Bench's definition", table(rows, PIE_BENCH)]
    if any(key in row for row in rows for key in LEARNED):
        parts += ["## By learned measures", table(rows, LEARNED)]
    for reason in dict.fromkeys(missing.values()):
        unavailable = ", ".join(name for name, why in missing.items() if why == reason)
        parts.append(f"Not available: {unavailable}, since {reason}.")
    parts += ["## Cost", cost_table(rows), "## What the columns say", NOTES.strip()]
    return "\n\n".join([*parts, *left_out]) + "\n"


def _cell(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
