"""`edit-real batch`: what is asked, checked; what came of it, said."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import typer

from backbones.errors import EditRealError
from backbones.loading import find_device, load_backbone
from editing.editor import Editor
from studio.batch.check import find_faults
from studio.batch.engines import ENGINES, Machines
from studio.batch.jobs import Defaults, Jobs, read_jobs
from studio.batch.outcome import StoppedError
from studio.batch.run import run_batch
from studio.batch.store import folder_of
from studio.batch.work import Setup
from studio.output import announce, read_dtype, warn_of_words

SUFFIXES = (".png", ".jpg", ".webp", ".tiff")
INTERRUPTED = 130  # the exit status that shells give a program ended by Ctrl-C
GO_ON = "every row that is written stays; the same command goes on with the others"


@dataclass(frozen=True)
class Request:
    """A batch as it was asked for.

    Attributes:
        jobs: A file, or a folder of photos.
        defaults: For what rows leave out.
        setup: See `Setup`.
        engine: A key of `ENGINES`.
        machines: How many, and where.
        retry_failed: Whether what failed in an earlier run is tried again.
    """

    jobs: Path
    defaults: Defaults
    setup: Setup
    engine: str
    machines: Machines
    retry_failed: bool


def check_jobs(request: Request) -> int:
    """Says all that is wrong with the rows, and warns of words; the exit status is 1 where a row has a fault."""
    setup = request.setup
    _check(request)
    jobs = read_jobs(request.jobs, request.defaults)
    if setup.out:
        _check_out(setup.out, jobs)
    place, number_format = find_device(setup.device), read_dtype(setup.dtype)
    load_editor = cache(lambda: Editor(announce(load_backbone(setup.model, place, number_format))))
    faults = find_faults(jobs, load_editor)
    wrong = {fault.row for fault in faults}
    captions = [text for job in jobs.jobs if job.row not in wrong for text in (job.caption, job.new_caption)]
    if captions:
        warn_of_words(load_editor().backbone, *dict.fromkeys(captions))
    for fault in faults:
        typer.echo(f"row {fault.row}: {fault.reason}")
    rows = f"{len(jobs)} row{'' if len(jobs) == 1 else 's'}"
    typer.echo(f"{len(jobs) - len(faults)} of {rows} can be tried" if faults else f"{rows}, no fault")
    return 1 if faults else 0


def do_jobs(request: Request) -> int:
    """Runs the batch; the exit status is 1 where rows failed, and `INTERRUPTED` where the user ended it."""
    setup, machines = request.setup, request.machines
    _check(request)
    if not setup.out:
        raise EditRealError("expected a folder for the results, as -o FOLDER, got none")
    jobs = read_jobs(request.jobs, request.defaults)
    _check_out(setup.out, jobs)
    try:
        summary = run_batch(
            jobs,
            setup,
            engine=request.engine,
            machines=machines,
            retry_failed=request.retry_failed,
            progress=True,
        )
    except StoppedError as error:
        raise EditRealError(f"{error}; {GO_ON}") from error
    except KeyboardInterrupt:
        typer.echo(f"stopped; {GO_ON}", err=True)
        return INTERRUPTED
    typer.echo(summary.text())
    typer.echo(f"wrote {setup.out}; open {setup.out.rstrip('/')}/index.html in a browser")
    return 1 if summary.failed else 0


def _check(request: Request) -> None:
    """Refuses what could not run, before any row is looked at."""
    setup = request.setup
    find_device(setup.device)
    read_dtype(setup.dtype)
    if setup.suffix not in SUFFIXES:
        raise EditRealError(
            f"expected an image format among {', '.join(s[1:] for s in SUFFIXES)}, got {setup.suffix[1:]!r}"
        )
    if request.engine not in ENGINES:
        raise EditRealError(f"expected an engine among {', '.join(ENGINES)}, got {request.engine!r}")
    if request.machines.address and request.engine == "local":
        raise EditRealError("expected --address with an engine that has one, such as --engine ray, got it with local")


def _check_out(out: str, jobs: Jobs) -> None:
    """Nothing is written beside a photo."""
    folder = folder_of(out)
    if folder is not None and os.path.realpath(folder) in {os.path.realpath(job.photo.parent) for job in jobs.jobs}:
        raise EditRealError(f"expected a folder of its own for the results, but {out} holds photos; choose another")
