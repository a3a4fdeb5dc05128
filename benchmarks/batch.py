"""What batches save and what they take: workers beside one, and edits that share their photo beside separate ones.

    python -m benchmarks.batch --photos flower-photos-144.zip

prints two ratios and a table of what a number of rows takes, all from runs of one machine, one after another. Edits
are those of a colour, three to a photo. `--price` is what an hour of the machine costs, in any currency. It also says
what is given up by inverting photos one by one, which keeps their bytes independent of each other.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from PIL import Image

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from benchmarks.edits import LIST, Edit, read_edits
from studio.batch.engines import Machines
from studio.batch.jobs import Jobs, read_jobs
from studio.batch.run import run_batch
from studio.batch.work import Group, Setup, at_desk, edit_groups
from studio.commands import quiet_libraries
from training.colors import FLOWER_COLORS
from workshop.command import run_command
from workshop.tables import markdown

EDITS = 3  # of each photo
MANY = (1_000, 4_000, 1_000_000)
TOGETHER = 8  # rows in a batch, whose time is compared with that of a row alone
REPEATS = 3


@dataclass(frozen=True)
class Timed:
    """A run: the rows that it did, and the seconds that it took from the start of the processes to the last report."""

    rows: int
    seconds: float


def write_jobs(edits: Sequence[Edit], folder: Path, number: int, steps: int) -> Path:
    """`jobs.csv` with `EDITS` edits of each of `number` photos.

    Raises:
        EditRealError: There are fewer photos.
    """
    swaps = {edit.source: edit for edit in edits if edit.asked_color in FLOWER_COLORS}
    if len(swaps) < number:
        raise EditRealError(f"expected {number} photos whose flower changes its colour, got {len(swaps)}; take fewer")
    path = folder / "jobs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("photo", "caption", "new_caption", "steps"))
        for place, edit in enumerate(list(swaps.values())[:number]):
            Image.fromarray(edit.photo).save(folder / f"{place}.png")
            others = [color for color in FLOWER_COLORS if color not in edit.caption][:EDITS]
            for color in others:
                asked = edit.new_caption.replace(str(edit.asked_color), color)
                writer.writerow((f"{place}.png", edit.caption, asked, steps))
    return path


def timed(jobs: Jobs, setup: Setup, workers: int) -> Timed:
    """One run into a new folder.

    Raises:
        EditRealError: A row failed.
    """
    start = time.monotonic()
    summary = run_batch(jobs, setup, machines=Machines(workers), progress=True)
    if summary.failed:
        raise EditRealError(f"expected every row to be done, got {summary.text()}")
    return Timed(len(jobs), time.monotonic() - start)


def apart(jobs: Jobs, setup: Setup) -> Timed:
    """Every row as a batch of its own with one model, so that nothing is shared but the model itself."""
    start = time.monotonic()
    with at_desk(setup) as desk:
        outcomes = list(edit_groups(desk, [Group((job,)) for job in jobs.jobs]))
    if failed := [outcome.reason for outcome in outcomes if not outcome.done]:
        raise EditRealError(f"expected every row to be done, got {failed[0]}")
    return Timed(len(jobs), time.monotonic() - start)


@torch.no_grad()
def row_seconds(backbone: Backbone, rows: int) -> float:
    """What a row of the denoiser takes in a batch of `rows`, the quickest of `REPEATS` times."""
    side = backbone.image_size // backbone.vae_factor
    latents = torch.zeros(rows, backbone.latent_channels, side, side, device=backbone.device)
    condition, seconds = backbone.condition([""]).expand(rows), list[float]()
    for _ in range(1 + REPEATS):  # the first makes ready
        start = time.monotonic()
        float(backbone.predict(latents, len(backbone.levels) // 2, condition).noise.sum())  # waits for a device
        seconds.append(time.monotonic() - start)
    return min(seconds[1:]) / rows


def scaling(seconds: float, price: float) -> list[dict[str, object]]:
    """What numbers of rows take, by the seconds that one took here."""
    return [
        {
            "rows": f"{rows:,}",
            "hours here": rows * seconds / 3600,
            "hours on 8 such machines": rows * seconds / 8 / 3600,
            **({"cost": rows * seconds / 3600 * price} if price else {}),
        }
        for rows in MANY
    ]


def main(
    photos: Annotated[list[Path], typer.Option(help="photo archives with edits of colours, such as the flowers'")],
    number: Annotated[int, typer.Option(min=1, help="photos")] = 20,
    workers: Annotated[int, typer.Option(min=2, help="processes, beside one")] = 2,
    steps: Annotated[int, typer.Option(min=1, help="denoising steps")] = 50,
    model: str = "bundled",
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu")] = None,
    price: Annotated[float, typer.Option(help="of an hour of this machine")] = 0.0,
) -> None:
    """Time the runs."""
    quiet_libraries()
    edits = read_edits(photos, LIST)
    with TemporaryDirectory() as name:
        folder = Path(name)
        jobs = read_jobs(write_jobs(edits, folder, number, steps))
        setup = Setup("", model, device)
        runs = {
            "one process": timed(jobs, replace(setup, out=str(folder / "one")), 1),
            f"one process, {workers} threads": timed(
                jobs, replace(setup, out=str(folder / "threads"), threads=workers), 1
            ),
            f"{workers} processes": timed(jobs, replace(setup, out=str(folder / "many")), workers),
            "one process, nothing shared": apart(jobs, replace(setup, out=str(folder / "apart"))),
        }
    rows = [
        {"run": run, "rows": one.rows, "seconds": one.seconds, "seconds a row": one.seconds / one.rows}
        for run, one in runs.items()
    ]
    one, threads, many, alone = runs.values()
    print(f"{number} photos with {EDITS} edits each, {steps} steps\n\n{markdown(rows)}\n")
    print(f"{workers} processes have {one.seconds / many.seconds:.2f} times the rate of one")
    print(f"{workers} processes have {threads.seconds / many.seconds:.2f} times the rate of one with {workers} threads")
    print(f"edits that share their photo's inversion take {one.seconds / alone.seconds:.2f} of what they take apart\n")
    print(markdown(scaling(many.seconds / many.rows, price)))
    torch.set_num_threads(1)
    backbone = load_backbone(model, device)
    single, shared = (1000 * row_seconds(backbone, rows) for rows in (1, TOGETHER))
    print(f"\na row of the denoiser takes {single:.0f} ms alone and {shared:.0f} ms in a batch of {TOGETHER}")


if __name__ == "__main__":
    run_command(main)
