"""A batch killed at random moments and started again each time, beside one that was left alone.

    python -m benchmarks.batch_kills --rows 200 --bad 40 --kills 100

Every run is a process of its own that gets SIGKILL. In the end the two folders must hold the same bytes, every row
once, nothing half-written, and no row that was there after a kill may have been written again. It takes pictures of its
own and the bundled model with few steps; what is drawn does not matter here.
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
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer

from backbones.errors import EditRealError
from benchmarks.batch_jobs import write_jobs
from studio.batch.engines import Machines
from studio.batch.jobs import read_jobs
from studio.batch.ledger import NAME as LEDGER
from studio.batch.run import run_batch
from studio.batch.store import DRAFT_END, RESULT, RESULTS
from studio.batch.summary import NAME as SUMMARY
from studio.batch.work import Setup
from studio.commands import quiet_libraries
from workshop.command import run_command


@dataclass(frozen=True)
class Told:
    """What came of the kills.

    Attributes:
        kills: Runs that were killed before their end.
        rounds: Folders that were filled by them.
        done: Rows with a result.
        reasons: Rows without one.
        moments: How many rows stood at each kill.
    """

    kills: int
    rounds: int
    done: int
    reasons: int
    moments: tuple[int, ...]


def kill_and_compare(work: Path, rows: int, bad: int, kills: int, model: str, seed: int) -> Told:
    """Fills a folder undisturbed, then others with kills until there were enough.

    Args:
        work: An empty folder.
        rows: Good rows and bad ones.
        bad: Bad ones.
        kills: How many at least.
        model: A folder, or `bundled`.
        seed: Of the moments.

    Raises:
        EditRealError: Anything differs.
    """
    (work / "jobs").mkdir()
    jobs, calm, chance = write_jobs(work / "jobs", rows - bad, bad), work / "calm", random.Random(seed)
    whole, again = _timed_run(jobs, calm, model), _timed_run(jobs, calm, model)
    expected, moments, rounds = contents(calm), list[int](), 0
    while len(moments) < kills:
        rounds += 1
        out = work / f"round-{rounds}"
        moments += _kill_until_done(jobs, out, model, expected, chance, 2 * (again + (whole - again) / kills))
    lines = [json.loads(line) for line in (calm / LEDGER).read_text().splitlines()]
    states = Counter(line["status"] for line in lines)
    return Told(len(moments), rounds, states["done"], states["failed"], tuple(moments))


def _kill_until_done(
    jobs: Path,
    out: Path,
    model: str,
    expected: dict[str, bytes],
    chance: random.Random,
    longest: float,
) -> list[int]:
    """Runs until one comes to its end within `longest` seconds at most; how many rows stood at each kill."""
    moments: list[int] = []
    stood: dict[str, int] = {}
    while True:
        pid = _start(jobs, out, model)
        if _ended_within(pid, chance.uniform(0, longest)):
            break
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        stood |= _finished(out)
        moments.append(len(stood))
    if {name: stamp for name, stamp in _finished(out).items() if name in stood} != stood:
        raise EditRealError(f"expected finished rows to be left alone, but some were written again or lost in {out}")
    _compare(expected, contents(out), out)
    shutil.rmtree(out)
    return moments


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
    _, status = os.waitpid(_start(jobs, out, model), 0)
    if status:
        raise EditRealError(f"expected a run that comes to its end, got one that ended with {status}")
    return time.monotonic() - start


def _start(jobs: Path, out: Path, model: str) -> int:
    """A process with a run of its own, forked so that it need not import everything again.

    Nothing has been computed before, so that no thread is missing in it.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        run_batch(read_jobs(jobs), Setup(str(out), model, device="cpu"), machines=Machines(workers=1))
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
) -> None:
    """Kill and compare."""
    quiet_libraries()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        told = kill_and_compare(Path(folder), rows, bad, kills, model, seed)
    print(
        f"{told.done} results and {told.reasons} reasons; {told.kills} kills in {told.rounds} rounds, with "
        f"{min(told.moments)} to {max(told.moments)} rows done at the time; the same bytes each time"
    )


if __name__ == "__main__":
    run_command(main)
