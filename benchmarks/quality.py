r"""Edits of test photos by every method, measured: does the edit do what was asked, and does everything else stay?

    python -m benchmarks.quality --photos flower-photos-144.zip --photos pet-photos-144.zip --out out/quality

writes `quality.csv` (a row for each edit and method), `quality.md` (the tables), `index.html` (the tables and every
picture, in one file), `sheet.png` (some edits by every method) and `first.png` (the first edits of the list by ours,
none chosen by looks). What is measured is kept in `results.jsonl` as it comes, and the same command goes on from there
when it was interrupted. `--quick` takes a tenth of the photos. `--pie-bench FOLDER` takes a folder
in PIE-Bench's format instead of the archives; `--widen 3` sets photos into frames three times as wide, so that things
are small. To choose settings, give rows of your own and photos of the train split:

    python -m benchmarks.choose_edits --split train --photos ... --out work/train-edits.json
    python -m benchmarks.quality --photos ... --edits work/train-edits.json --kind "colour swap" --out out/train \
        --method edit-real --set "guidance_scale=3" --set "self_replace=0.2 mask_rule=midrange"
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import cv2
import torch
import typer
from tqdm import tqdm

from backbones.errors import EditRealError
from backbones.loading import find_device, load_backbone
from backbones.photo import open_photo
from benchmarks.edits import LIST, Edit, read_edits
from benchmarks.judge import Judge, autoencoded, measure
from benchmarks.kept import Done, Kept, hash_of_all
from benchmarks.learned import load_learned
from benchmarks.methods import METHODS, OURS, Inverted, Masks, Method, Outcome, method_of, run_method
from benchmarks.pictures import draw_first, draw_samples, page, thumbnail
from benchmarks.pie_bench import read_pie_bench
from benchmarks.report import report
from benchmarks.widen import stands_free, widen
from editing.editor import Editor
from studio.batch.ledger import Ledger
from studio.batch.store import FolderStore
from training.classifier import load_classifier
from workshop.command import run_command

CLASSIFIER = Path(__file__).parent / "classifier"  # names species and animals
QUICK = 10  # every how manieth photo a quick run takes


@dataclass(frozen=True)
class Setup:
    """What every process of a run loads."""

    model: str
    classifier: Path | None
    threads: int | None


def group(edits: Sequence[Edit]) -> list[list[Edit]]:
    """Edits that start from the same photo and the same caption, which share an inversion."""

    def start(edit: Edit) -> tuple[str, str]:
        return edit.source, edit.caption

    return [list(same) for _, same in groupby(sorted(edits, key=start), start)]


def every(edits: Sequence[Edit], step: int) -> list[Edit]:
    """The edits of every `step`th photo."""
    sources = list(dict.fromkeys(edit.source for edit in edits))[::step]
    return [edit for edit in edits if edit.source in sources]


def run_group(edits: list[Edit], methods: Mapping[str, Method], steps: int, setup: Setup) -> Done:
    """Edits that share an inversion, by every method."""
    editor, judge = _load(setup)
    photo = open_photo(edits[0].photo)
    ceiling_of = cache(partial(autoencoded, editor.backbone, photo))
    rows: list[dict[str, Any]] = []
    masks: Masks = [None] * len(edits)
    inversions: dict[str, Inverted] = {}
    for name, method in methods.items():
        work = partial(run_method, method, editor, photo, steps=steps, inversions=inversions)
        outcomes = attempt(work, edits, masks)
        if name == OURS:
            masks = [outcome.mask if isinstance(outcome, Outcome) else None for outcome in outcomes]
        for edit, outcome in zip(edits, outcomes, strict=True):
            row = {**_head(edit, name), "error": ""}
            if isinstance(outcome, Outcome):
                row |= {
                    **measure(edit, outcome, ceiling_of(outcome.geometry), judge),
                    "picture": thumbnail(outcome.image),
                }
            rows.append(row if isinstance(outcome, Outcome) else {**row, "error": str(outcome)})
    return Done(rows, judge.learned.missing)


def attempt(
    work: Callable[[Sequence[Edit], Masks], list[Outcome]], edits: Sequence[Edit], masks: Masks
) -> list[Outcome | EditRealError]:
    """What came of each edit; where they cannot be done together, they are done one by one."""
    try:
        return list(work(edits, masks))
    except EditRealError as error:
        if len(edits) == 1:
            return [error]
    alone = [attempt(work, [edit], [mask]) for edit, mask in zip(edits, masks, strict=True)]
    return [outcome for outcomes in alone for outcome in outcomes]


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


def run_kept(
    edits: Sequence[Edit], methods: Mapping[str, Method], setup: Setup, kept: Kept, *, steps: int, jobs: int
) -> Iterator[Done]:
    """Each group of edits: first those that were measured before, then the others as they are done."""
    groups = {kept.key(same, methods, steps): same for same in group(edits)}
    before = {key: done for key in groups if (done := kept.find(key))}
    yield from before.values()
    left = [edit for key, same in groups.items() if key not in before for edit in same]
    by_edit = {edit.name: key for key, same in groups.items() for edit in same}
    for done in run(left, methods, setup, steps=steps, jobs=jobs) if left else ():
        kept.keep(by_edit[done.rows[0]["name"]], done)
        yield done


def run(edits: Sequence[Edit], methods: Mapping[str, Method], setup: Setup, *, steps: int, jobs: int) -> Iterator[Done]:
    """Each group of edits as it is done, by `jobs` processes."""
    work = partial(run_group, methods=methods, steps=steps, setup=setup)
    if jobs == 1:
        yield from map(work, group(edits))
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(work, same) for same in group(edits)]):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


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


def read_chosen(
    photos: Sequence[Path], edits: Path, pie_bench: Path | None, kinds: Sequence[str], quick: bool
) -> list[Edit]:
    """The edits of the list or of the folder, those of some kinds or of a tenth of the photos.

    Raises:
        EditRealError: Something cannot be read.
        typer.BadParameter: The choices do not fit.
    """
    if bool(photos) == bool(pie_bench):
        raise typer.BadParameter("expected the photo archives (--photos) or a folder of PIE-Bench (--pie-bench)")
    chosen = read_pie_bench(pie_bench) if pie_bench else read_edits(list(photos), edits)
    known = list(dict.fromkeys(edit.kind for edit in chosen))
    if unknown := sorted(set(kinds) - set(known)):
        raise typer.BadParameter(f"expected kinds among {', '.join(known)}, got {', '.join(unknown)}")
    chosen = [edit for edit in chosen if not kinds or edit.kind in kinds]
    return every(chosen, QUICK) if quick else chosen


def default_jobs() -> int:
    """One process for each core that may be used, or one for the accelerator."""
    if find_device(None).type != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(
    out: Annotated[Path, typer.Option(help="the folder to write")],
    photos: Annotated[list[Path] | None, typer.Option(help="the photo archives")] = None,
    edits: Annotated[Path, typer.Option(help="the list of edits")] = LIST,
    pie_bench: Annotated[Path | None, typer.Option(help="a folder in PIE-Bench's format")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="only edits of this kind; may be repeated")] = None,
    model: str = "bundled",
    method: Annotated[list[str] | None, typer.Option(help="only this row, beside ours; may be repeated")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="a row such as 'self_replace=0.2'")] = None,
    steps: Annotated[int, typer.Option(min=1, help="denoising steps; 20 keep all edits under half an hour")] = 20,
    quick: Annotated[bool, typer.Option("--quick", help="a tenth of the photos")] = False,
    factor: Annotated[float, typer.Option("--widen", min=1, help="set photos into frames so many times as wide")] = 1,
    classifier: Annotated[Path, typer.Option(help="folder that training.classifier wrote")] = CLASSIFIER,
    jobs: Annotated[int | None, typer.Option(min=1, help="processes; by default as many as there are cores")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="also measure again what failed before")] = False,
) -> None:
    """Measure the methods."""
    methods = choose_methods(method or (), settings or ())
    chosen = read_chosen(photos or (), edits, pie_bench, kind or (), quick)
    if factor > 1:
        chosen = [widen(edit, factor) for edit in chosen if stands_free(edit)]
    jobs = jobs or default_jobs()
    known = classifier if (classifier / "classifier.safetensors").is_file() else None
    setup = Setup(model, known, threads=1 if jobs > 1 else None)
    missing = {} if known else {"label": f"there is no classifier in {classifier}"}
    rows: list[dict[str, Any]] = []
    store = FolderStore(out)
    with store.locked(), tqdm(total=len(chosen), desc="quality", unit="edit", disable=None) as bar:
        kept = Kept(Ledger(store), hash_of_all(model, known), retry_failed=retry_failed)
        for done in run_kept(chosen, methods, setup, kept, steps=steps, jobs=jobs):
            rows += done.rows
            missing |= done.missing
            write_csv(rows, out / "quality.csv")
            bar.update(len(done.rows) // len(methods))
    places = {edit.name: place for place, edit in enumerate(chosen)}
    rows.sort(key=lambda row: (places[row["name"]], list(methods).index(row["method"])))
    text = report(rows, steps, missing)
    write_csv(rows, out / "quality.csv")
    (out / "quality.md").write_text(text, encoding="utf-8")
    (out / "index.html").write_text(page(text, rows, chosen), encoding="utf-8")
    draw_samples(rows, chosen).save(out / "sheet.png")
    draw_first(rows, chosen).save(out / "first.png")
    print(text)


if __name__ == "__main__":
    run_command(main)
