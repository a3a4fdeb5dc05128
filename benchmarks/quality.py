r"""Edits of test photos by every method, measured: does the edit do what was asked, and does everything else stay?

    python -m benchmarks.quality --photos flower-photos-144.zip --photos pet-photos-144.zip --out out/quality

writes `quality.csv` (a row for each edit and method), `quality.md` (the tables), `index.html` (the tables and every
picture, in one file) and `sheet.png`. `--quick` takes a tenth of the photos. `--pie-bench FOLDER` takes a folder in
PIE-Bench's format instead of the archives. To choose settings, give rows of your own and photos of the train split:

    python -m benchmarks.choose_edits --split train --photos ... --out work/train-edits.json
    python -m benchmarks.quality --photos ... --edits work/train-edits.json --kind "colour swap" --out out/train \
        --method edit-real --set "guidance_scale=3" --set "self_replace=0.2 mask_rule=midrange"
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from tqdm import tqdm

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.latents import decode, encode
from backbones.loading import find_device, load_backbone
from backbones.photo import open_photo, plan_geometry, to_image, to_pixels
from benchmarks.edits import LIST, Edit, read_edits
from benchmarks.fidelity import iou
from benchmarks.learned import Learned, load_learned
from benchmarks.measures import background, background_of_pie_bench, color_share
from benchmarks.methods import METHODS, OURS, Method, Outcome, method_of, run_method
from benchmarks.pie_bench import read_pie_bench
from benchmarks.report import draw_samples, jpeg, page, report
from editing.edit import Editor
from editing.likeness import edge_correlation
from training.classifier import Classifier, classify, load_classifier
from training.colors import color_masks

CLASSIFIER = Path(__file__).parent / "classifier"  # names species and animals
QUICK = 10  # every how manieth photo a quick run takes


@dataclass(frozen=True)
class Setup:
    """What every process of a run loads."""

    model: str
    classifier: Path | None
    threads: int | None


@dataclass(frozen=True, eq=False)
class Judge:
    """The networks that say what an image shows, those that are there."""

    classifier: Classifier | None
    learned: Learned


def group(edits: Sequence[Edit]) -> list[list[Edit]]:
    """Edits that start from the same photo and the same caption, which share an inversion."""

    def start(edit: Edit) -> tuple[str, str]:
        return edit.source, edit.caption

    return [list(same) for _, same in groupby(sorted(edits, key=start), start)]


def every(edits: Sequence[Edit], step: int) -> list[Edit]:
    """The edits of every `step`th photo."""
    sources = list(dict.fromkeys(edit.source for edit in edits))[::step]
    return [edit for edit in edits if edit.source in sources]


def run_group(edits: list[Edit], methods: Mapping[str, Method], steps: int, setup: Setup) -> list[dict[str, Any]]:
    """A row for each edit and method; one whose `error` is not empty has no figures."""
    editor, judge = _load(setup)
    photo = open_photo(edits[0].photo)
    ceiling = autoencoded(editor.backbone, edits[0].photo)
    rows: list[dict[str, Any]] = []
    masks: list[np.ndarray] = []
    for name, method in methods.items():
        try:
            outcomes = run_method(method, editor, photo, edits, masks, steps)
        except EditRealError as error:
            rows += [{**_head(edit, name), "error": str(error)} for edit in edits]
            continue
        if name == OURS:
            masks = [outcome.mask for outcome in outcomes]
        for edit, outcome in zip(edits, outcomes, strict=True):
            figures = measure(edit, outcome, ceiling, judge)
            rows.append({**_head(edit, name), "error": "", **figures, "picture": jpeg(outcome.image)})
    return rows


def measure(edit: Edit, outcome: Outcome, ceiling: np.ndarray, judge: Judge) -> dict[str, float]:
    """The figures of one edit by one method.

    Args:
        edit: What was asked.
        outcome: What came of it.
        ceiling: The photo through the autoencoder alone, `(h, w, 3)` uint8 at the model's size.
        judge: The networks.

    Returns:
        `before_...` compares what the model drew with `ceiling`, `after_...` the composite with the photo, both where
        the edit's region is not; `..._pie_...` in PIE-Bench's definition. NaN where a measure does not apply.
    """
    small = cv2.resize(edit.region.astype(np.float32), ceiling.shape[1::-1], interpolation=cv2.INTER_AREA) > 0.5
    figures: dict[str, float] = {}
    for when, image, reference, kept in (
        ("before", outcome.drawn, ceiling, ~small),
        ("after", outcome.image, edit.photo, ~edit.region),
    ):
        figures |= {f"{when}_{name}": value for name, value in background(image, reference, kept).items()}
        pie_bench = background_of_pie_bench(image, reference, kept)
        figures |= {f"{when}_pie_{name}": value for name, value in pie_bench.items()}
    color, label = edit.asked_color, edit.asked_label
    nan = float("nan")
    named = classify(judge.classifier, outcome.image[None])[0] if label and judge.classifier else None
    return {
        **figures,
        "edges": edge_correlation(outcome.image, edit.photo, edit.region),
        "iou": iou(outcome.mask, edit.region),
        "color_drawn": color_share(outcome.drawn, small, color) if color else nan,
        "color": color_share(outcome.image, edit.region, color) if color else nan,
        "petals": color_share(outcome.image, petals(edit), color) if color else nan,
        "label": nan if named is None else 100.0 * (named == label),
        **judge.learned.measure(outcome.image, edit.photo, ~edit.region, edit.new_caption),
        "seconds": outcome.seconds,
        "memory": outcome.memory,
    }


def petals(edit: Edit) -> np.ndarray:
    """The region's pixels whose colour in the photo is one that the old caption names, `(H, W)` bool; else none."""
    named = color_masks(edit.photo)
    old = [named[word] for word in edit.caption.split() if word in named and word not in edit.new_caption.split()]
    return edit.region & np.any(old, axis=0) if old else np.zeros_like(edit.region)


@torch.no_grad()
def autoencoded(backbone: Backbone, pixels: np.ndarray) -> np.ndarray:
    """The photo `(H, W, 3)` uint8 through the autoencoder alone, at the model's size."""
    photo = open_photo(pixels)
    geometry = plan_geometry(photo.size, backbone.image_size, backbone.size_multiple)
    return np.asarray(to_image(decode(backbone, encode(backbone, to_pixels(photo, geometry)))))


@lru_cache(maxsize=1)
def _load(setup: Setup) -> tuple[Editor, Judge]:
    """Once in each process."""
    if setup.threads:
        torch.set_num_threads(setup.threads)
        cv2.setNumThreads(setup.threads)
    editor = Editor(load_backbone(setup.model))
    classifier = load_classifier(setup.classifier) if setup.classifier else None
    return editor, Judge(classifier, load_learned(editor.backbone.device))


def _head(edit: Edit, method: str) -> dict[str, Any]:
    words = " ".join(f"{word}={weight:g}" for word, weight in edit.reweight.items())
    captions = {"caption": edit.caption, "new_caption": edit.new_caption, "reweight": words}
    return {"method": method, "name": edit.name, "kind": edit.kind, **captions}


def run(
    edits: Sequence[Edit], methods: Mapping[str, Method], setup: Setup, *, steps: int, jobs: int
) -> Iterator[list[dict[str, Any]]]:
    """The rows of each group of edits as they come, computed by `jobs` processes."""
    work = partial(run_group, methods=methods, steps=steps, setup=setup)
    if jobs == 1:
        yield from map(work, group(edits))
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(work, same) for same in group(edits)]):
            yield done.result()


def choose_methods(names: Sequence[str], settings: Sequence[str]) -> dict[str, Method]:
    """The rows of `METHODS` that are named, all where none is, and one for each settings; always ours first.

    Raises:
        typer.BadParameter: An unknown name, or settings that do not fit.
    """
    if unknown := sorted(set(names) - set(METHODS)):
        raise typer.BadParameter(f"expected methods among {', '.join(METHODS)}, got {', '.join(unknown)}")
    try:
        own = {text: method_of(text) for text in settings}
    except EditRealError as error:
        raise typer.BadParameter(str(error)) from error
    return {name: method for name, method in METHODS.items() if not names or name in (*names, OURS)} | own


def write_csv(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Everything but the pictures."""
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "picture"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(
    out: Annotated[Path, typer.Option(help="the folder to write")],
    photos: Annotated[list[Path] | None, typer.Option(help="the photo archives")] = None,
    edits: Annotated[Path, typer.Option(help="the list of edits")] = LIST,
    pie_bench: Annotated[Path | None, typer.Option(help="a folder in PIE-Bench's format")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="only edits of this kind; may be repeated")] = None,
    model: str = "bundled",
    method: Annotated[list[str] | None, typer.Option(help="only this row, beside ours; may be repeated")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="a row such as 'self_replace=0.2'")] = None,
    steps: int = 50,
    quick: Annotated[bool, typer.Option("--quick", help="a tenth of the photos")] = False,
    classifier: Annotated[Path, typer.Option(help="folder that training.classifier wrote")] = CLASSIFIER,
    jobs: Annotated[int | None, typer.Option(help="processes; by default one for each core")] = None,
) -> None:
    """Measure the methods."""
    methods = choose_methods(method or (), settings or ())
    if bool(photos) == bool(pie_bench):
        raise typer.BadParameter("expected the photo archives (--photos) or a folder of PIE-Bench (--pie-bench)")
    chosen = read_pie_bench(pie_bench) if pie_bench else read_edits(photos or [], edits)
    chosen = [edit for edit in chosen if not kind or edit.kind in kind]
    if not chosen:
        raise typer.BadParameter(f"expected a kind that the list has, got {', '.join(kind or ())}")
    chosen = every(chosen, QUICK) if quick else chosen
    if jobs is None:
        jobs = 1 if find_device(None).type == "cuda" else os.cpu_count() or 1
    known = classifier if (classifier / "classifier.safetensors").is_file() else None
    setup = Setup(model, known, threads=1 if jobs > 1 else None)
    rows: list[dict[str, Any]] = []
    with tqdm(total=len(chosen), desc="quality", unit="edit", disable=None) as bar:
        for done in run(chosen, methods, setup, steps=steps, jobs=jobs):
            rows += done
            bar.update(len(done) // len(methods))
    places = {edit.name: place for place, edit in enumerate(chosen)}
    rows.sort(key=lambda row: (places[row["name"]], list(methods).index(row["method"])))
    missing = load_learned().missing | ({} if known else {"label": f"there is no classifier in {classifier}"})
    text = report(rows, steps, missing)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(rows, out / "quality.csv")
    (out / "quality.md").write_text(text, encoding="utf-8")
    (out / "index.html").write_text(page(rows, chosen, steps, missing), encoding="utf-8")
    draw_samples(rows, chosen).save(out / "sheet.png")
    print(text)


if __name__ == "__main__":
    typer.run(main)
