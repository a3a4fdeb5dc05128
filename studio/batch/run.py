"""A run: rows shared out to an engine, a ledger line for each, and reports at the end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

from tqdm import tqdm

from studio.batch.engines import ENGINES, Machines
from studio.batch.jobs import Fault, Job, Jobs
from studio.batch.ledger import DONE, FAILED, Ledger
from studio.batch.outcome import Outcome
from studio.batch.page import write_pages
from studio.batch.store import open_store, place
from studio.batch.summary import Summary, summarize, write_summary
from studio.batch.work import Setup, group_jobs


def run_batch(
    jobs: Jobs,
    setup: Setup,
    *,
    engine: str = "local",
    machines: Machines | None = None,
    retry_failed: bool = False,
    progress: bool = False,
) -> Summary:
    """Does every row that is not done yet.

    Whatever interrupts a run, the same call goes on: what is in the folder is left as it is.

    Args:
        jobs: From `read_jobs`.
        setup: The model, the results' folder, and how rows are made.
        engine: One of `ENGINES`.
        machines: How many work, and where.
        retry_failed: Whether rows that failed in an earlier run are tried again. Rows that could not be read are in any
            case.
        progress: Whether a bar is shown in a terminal.

    Raises:
        EditRealError: The model or the folder cannot be used, or no further row can be written, as on a full disk.
        KeyboardInterrupt: The user's, or a request of the system's to end.
    """
    store, started = open_store(setup.out), time.monotonic()
    with store.locked(), _ended_by_terminate():
        ledger = Ledger(store)
        setup = replace(setup, failures={} if retry_failed else ledger.failures())
        lines = {fault.row: _line_of_fault(fault) for fault in jobs.faults}
        by_row, edited = {same[0].row: same for same in _alike(jobs)}, 0
        told = {line.get("row"): line for line in ledger.lines}
        work = ENGINES[engine](group_jobs([same[0] for same in by_row.values()]), setup, machines or Machines())
        with closing(work) as outcomes, closing(_Bar(len(jobs), len(jobs.faults), shown=progress)) as bar:
            for outcome in outcomes if by_row else ():
                if outcome.row in lines:  # a cluster may do a row again
                    continue
                for job in by_row[outcome.row]:
                    line = lines[job.row] = line_of(job, outcome)
                    if told.get(job.row) != line:
                        ledger.add(line)
                    bar.advance(outcome)
                edited += outcome.done and not outcome.before
        ordered = [lines[row] for row in sorted(lines)]
        ledger.rewrite(ordered)
        summary = summarize(ordered, edited, seconds=time.monotonic() - started)
        write_summary(store, summary)
        write_pages(store, ordered)
    return summary


def _alike(jobs: Jobs) -> list[list[Job]]:
    """Jobs that ask the same together; the first of them is done, and its result is that of all."""
    asked: dict[Any, list[Job]] = {}
    for job in jobs.jobs:
        asked.setdefault(job.asks, []).append(job)
    return list(asked.values())


def line_of(job: Job, outcome: Outcome) -> dict[str, Any]:
    """What the ledger says of a row; nothing of when and how fast."""
    line: dict[str, Any] = {"row": job.row, "name": job.name, "photo": job.shown}
    line |= {"caption": job.caption, "new_caption": job.new_caption}
    if outcome.record is None:
        line |= {"status": FAILED, "key": outcome.key, "reason": outcome.reason}
        return line | ({"trace": outcome.trace} if outcome.trace else {})
    record: Mapping[str, Any] = outcome.record
    return line | {
        "status": DONE,
        "key": outcome.key,
        "folder": place(str(outcome.key)),
        "image": record["image"],
        "sheet": record["sheet"],
        "metrics": record["metrics"],
        "warnings": record["warnings"],
    }


def _line_of_fault(fault: Fault) -> dict[str, Any]:
    line: dict[str, Any] = {"row": fault.row, "name": fault.name, "photo": fault.shown}
    return line | {"status": FAILED, "key": None, "reason": fault.reason}


class _Bar:
    """Rows, rate and time left; what an earlier run did counts for the end, but not for the rate."""

    def __init__(self, total: int, faults: int, *, shown: bool) -> None:
        self._bar = tqdm(total=total, initial=faults, unit="row", disable=None if shown else True, smoothing=0)
        self._failed = faults

    def advance(self, outcome: Outcome) -> None:
        self._failed += not outcome.done
        if outcome.before and not self._bar.disable:
            self._bar.initial += 1
        self._bar.set_postfix_str(f"{self._failed} failed" if self._failed else "", refresh=False)
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


@contextmanager
def _ended_by_terminate() -> Iterator[None]:
    """A request to end, as schedulers send it, is taken as Ctrl-C is: what is being written is written."""
    if threading.current_thread() is not threading.main_thread():  # only there can it be heard
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
