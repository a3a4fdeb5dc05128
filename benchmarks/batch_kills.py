"""A batch killed at random moments and started again each time, beside one that was left alone.

    python -m benchmarks.batch_kills --rows 200 --bad 40 --kills 100
    python -m benchmarks.batch_kills --rows 200 --bad 40 --kills 100 --engine ray

Every run is a process of its own that gets SIGKILL. In the end the two folders must hold the same bytes, every row
once, nothing half-written, and no row that was there after a kill may have been written again. It takes pictures of its
own and the bundled model with few steps; what is drawn does not matter here.

With Ray every other run is on a cluster of this machine, whose workers are killed one after another before the run is;
so folders are begun on one engine and finished on the other.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import psutil
import torch
import typer

from backbones.errors import EditRealError
from benchmarks.batch_jobs import write_jobs
from studio.batch.engines import ENGINES, Machines
from studio.batch.jobs import read_jobs
from studio.batch.ledger import NAME as LEDGER
from studio.batch.run import run_batch
from studio.batch.store import DRAFT_END, RESULT, RESULTS
from studio.batch.summary import NAME as SUMMARY
from studio.batch.work import Setup
from studio.commands import quiet_libraries
from workshop.command import run_command

MOST_WORKERS = 4  # of a cluster that are killed before its run is
GONE = 10.0  # seconds that what belonged to a killed run has to end by itself


@dataclass(frozen=True)
class Told:
    """What came of the kills.

    Attributes:
        kills: Runs that were killed before their end, and workers of clusters.
        workers: How many of them were workers.
        rounds: Folders that were filled by them.
        done: Rows with a result.
        reasons: Rows without one.
        moments: How many rows stood at each kill.
    """

    kills: int
    workers: int
    rounds: int
    done: int
    reasons: int
    moments: tuple[int, ...]


@dataclass(frozen=True)
class Trial:
    """What every run of the trial has in common.

    Attributes:
        jobs: The file.
        model: A folder, or `bundled`.
        chance: When to kill.
        longest: Seconds until a kill, at most.
        expected: The files of a run that was left alone.
    """

    jobs: Path
    model: str
    chance: random.Random
    longest: float
    expected: dict[str, bytes]


@dataclass
class Kills:
    """Those of one folder: how many rows stood at each, and how many were of workers."""

    moments: list[int]
    workers: int = 0


def kill_and_compare(
    work: Path, rows: int, bad: int, kills: int, model: str, seed: int, engines: Sequence[str] = ("local",)
) -> Told:
    """Fills a folder undisturbed, then others with kills until there were enough.

    Args:
        work: An empty folder.
        rows: Good rows and bad ones.
        bad: Bad ones.
        kills: How many at least.
        model: A folder, or `bundled`.
        seed: Of the moments.
        engines: Of the runs on a folder, in turn; every folder is begun with the one that the last was not.

    Raises:
        EditRealError: Anything differs.
    """
    (work / "jobs").mkdir()
    jobs, calm = write_jobs(work / "jobs", rows - bad, bad), work / "calm"
    whole, again = _timed_run(jobs, calm, model), _timed_run(jobs, calm, model)
    longest = 2 * (again + (whole - again) / kills)
    trial, done = Trial(jobs, model, random.Random(seed), longest, contents(calm)), list[Kills]()
    while sum(len(one.moments) for one in done) < kills:
        turn = len(done) % len(engines)
        done.append(_kill_until_done(trial, work / f"round-{len(done)}", [*engines[turn:], *engines[:turn]]))
    lines = [json.loads(line) for line in (calm / LEDGER).read_text().splitlines()]
    states, moments = Counter(line["status"] for line in lines), [moment for one in done for moment in one.moments]
    workers = sum(one.workers for one in done)
    return Told(len(moments), workers, len(done), states["done"], states["failed"], tuple(moments))


def _kill_until_done(trial: Trial, out: Path, engines: Sequence[str]) -> Kills:
    """Runs by the engines in turn, until one comes to its end between two kills."""
    kills, stood = Kills([]), dict[str, int]()
    for engine in cycle(engines):
        pid = _start(trial.jobs, out, trial.model, engine)
        spared = trial.chance.randint(1, MOST_WORKERS) if engine == "ray" else 0
        while not (ended := _ended_within(pid, trial.chance.uniform(0, trial.longest))):
            if spared and not (len(_finished(out)) > len(stood) and _kill_worker(pid, trial.chance)):
                continue  # a cluster whose workers are killed before they do anything never ends
            if not spared:
                _kill_run(pid)
            kills.workers += bool(spared)
            stood |= _finished(out)
            kills.moments.append(len(stood))
            if not spared:
                break
            spared -= 1
        if ended:
            break
    if {name: stamp for name, stamp in _finished(out).items() if name in stood} != stood:
        raise EditRealError(f"expected finished rows to be left alone, but some were written again or lost in {out}")
    _compare(trial.expected, contents(out), out)
    shutil.rmtree(out)
    return kills


def _kill_run(pid: int) -> None:
    """A run; a cluster that it started ends with it, what is slow about that by force."""
    others = psutil.Process(pid).children(recursive=True)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _, left = psutil.wait_procs(others, timeout=GONE)
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()


def _kill_worker(pid: int, chance: random.Random) -> bool:
    """One of a cluster, if there is any."""
    workers = [one for one in psutil.Process(pid).children(recursive=True) if "RayEditor" in _title(one)]
    if workers:
        chance.choice(workers).kill()
    return bool(workers)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended meanwhile
        return ""


def _compare(expected: dict[str, bytes], got: dict[str, bytes], out: Path) -> None:
    differing = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
    if differing:
        raise EditRealError(
            f"expected the bytes of an undisturbed run in {out}, got others in {', '.join(differing[:5])}"
        )


def contents(out: Path) -> dict[str, bytes]:
    """Every file by its name, without the summary, which tells of times.

    Raises:
        EditRealError: Something half-written.
    """
    files = [path for path in out.rglob("*") if path.is_file() and path.name != SUMMARY]
    if drafts := list(out.rglob(f"*{DRAFT_END}")):
        raise EditRealError(f"expected nothing half-written, got {drafts[0]}")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def _finished(out: Path) -> dict[str, int]:
    """When each row that stands was written."""
    found = (out / RESULTS).glob(f"*/[!.]*/{RESULT}")
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


def _timed_run(jobs: Path, out: Path, model: str) -> float:
    start = time.monotonic()
    _, status = os.waitpid(_start(jobs, out, model, "local"), 0)
    if status:
        raise EditRealError(f"expected a run that comes to its end, got one that ended with {status}")
    return time.monotonic() - start


def _start(jobs: Path, out: Path, model: str, engine: str) -> int:
    """A process with a run of its own, forked so that it need not import everything again.

    Nothing has been computed before, so that no thread is missing in it.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        machines = Machines(workers=1 if engine == "local" else None)
        run_batch(read_jobs(jobs), Setup(str(out), model, device="cpu"), engine=engine, machines=machines)
        os._exit(0)
    except BaseException as error:
        print(f"a run failed: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)


def _ended_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            if status:
                raise EditRealError(
                    f"expected a run to end by itself or to be killed, got one that ended with {status}"
                )
            return True
        time.sleep(0.005)
    return False


def main(
    rows: Annotated[int, typer.Option(min=2, help="of the jobs")] = 200,
    bad: Annotated[int, typer.Option(min=0, help="rows among them that cannot be done")] = 40,
    kills: Annotated[int, typer.Option(min=1, help="at random moments")] = 100,
    model: str = "bundled",
    seed: Annotated[int, typer.Option(help="of the moments")] = 0,
    engine: Annotated[str, typer.Option(help="of every other run: local or ray")] = "local",
) -> None:
    """Kill and compare."""
    if engine not in ENGINES:
        raise typer.BadParameter(f"expected an engine among {', '.join(ENGINES)}, got {engine!r}")
    quiet_libraries()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        engines = ("local",) if engine == "local" else ("local", engine)
        told = kill_and_compare(Path(folder), rows, bad, kills, model, seed, engines)
    of_workers = f", {told.workers} of them of workers," if told.workers else ""
    print(
        f"{told.done} results and {told.reasons} reasons; {told.kills} kills{of_workers} in {told.rounds} rounds, with "
        f"{min(told.moments)} to {max(told.moments)} rows done at the time; the same bytes each time"
    )


if __name__ == "__main__":
    run_command(main)
