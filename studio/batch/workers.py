"""Several processes on one machine, each with a model of its own."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from backbones.errors import EditRealError
from backbones.hub import find_folder
from backbones.loading import find_device
from backbones.memory import free_memory
from backbones.paths import expanded
from studio.batch.outcome import DeviceError, Outcome, StoppedError
from studio.batch.work import KEPT, Group, Setup, at_desk, edit_groups

AHEAD = 2  # groups that a worker has: the one it works on, and the one it reads
TRIES = 3  # of a row whose process ends without a word
ROOM = 3  # times its weights that a process takes

READY = "ready"


@dataclass
class Attempt:
    """A group that a worker has."""

    group: Group
    left: set[int]
    deaths: int = 0


@dataclass
class Worker:
    """A process, the line to it, and what it has been given."""

    number: int
    process: Any
    line: Connection
    attempts: deque[Attempt] = field(default_factory=deque)
    ready: bool = False
    closed: bool = False


def default_workers(model: str, device: str | None, threads: int) -> int:
    """As many as there are graphics cards, or as processors and memory allow on a CPU."""
    place = find_device(device)
    if place.type == "cuda":
        return torch.cuda.device_count() if place.index is None else 1
    if place.type != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    weights = sum(file.stat().st_size for file in weight_files(model))
    fitting = free_memory(place) // (ROOM * weights + min(KEPT, weights) + (1 << 30))
    return max(1, min(cores // threads, int(fitting)))


def weight_files(model: str) -> list[Path]:
    """The files that hold a model's weights; none where a single file is not there, which loading it tells.

    Raises:
        EditRealError: There is no such folder or hub id.
    """
    path = expanded(model)
    if path.suffix == ".safetensors":
        return [path] if path.is_file() else []
    return sorted(find_folder(model).rglob("*.safetensors"))


def edit_with_processes(groups: Sequence[Group], setup: Setup, count: int) -> Iterator[Outcome]:
    """The outcome of every row, as it comes from one of `count` processes.

    A process that ends without a word, as when the system runs out of memory, is replaced; its rows are tried again one
    by one, `TRIES` times in all.

    Raises:
        StoppedError: No further row can be written, or processes end before they have loaded the model.
        EditRealError: The model or the results' folder cannot be used.
    """
    queue = deque(Attempt(group, {job.row for job in group.jobs}) for group in groups)
    workers = [_start(number, setup) for number in range(min(count, len(queue)))]
    try:
        while queue or any(worker.attempts for worker in workers):
            for worker in workers:
                _hand_out(worker, queue)
            for line in wait([worker.line for worker in workers]):
                place = next(index for index, worker in enumerate(workers) if worker.line is line)
                try:
                    yield from _hear(workers[place])
                except (EOFError, ConnectionError):
                    yield from _bury(workers[place], queue)
                    workers[place] = _start(place, setup)
        for worker in workers:
            worker.line.send(None)
            worker.process.join()
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()
            worker.line.close()


def _start(number: int, setup: Setup) -> Worker:
    context = get_context("spawn")  # torch's threads do not survive a fork
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, replace(setup, device=_device_of(number, setup))), daemon=True)
    process.start()
    there.close()
    return Worker(number, process, here)


def _device_of(number: int, setup: Setup) -> str | None:
    """Graphics cards in turn, unless one is named."""
    place = find_device(setup.device)
    return (
        f"cuda:{number % torch.cuda.device_count()}" if place.type == "cuda" and place.index is None else setup.device
    )


def _hand_out(worker: Worker, queue: deque[Attempt]) -> None:
    while queue and len(worker.attempts) < AHEAD:
        attempt = queue.popleft()
        worker.attempts.append(attempt)
        jobs = tuple(job for job in attempt.group.jobs if job.row in attempt.left)
        try:
            worker.line.send(Group(jobs))
        except OSError:  # it has ended, which is heard of next
            return


def _hear(worker: Worker) -> Iterator[Outcome]:
    message = worker.line.recv()
    if isinstance(message, EditRealError):
        raise message
    if isinstance(message, Outcome):
        for attempt in worker.attempts:
            attempt.left.discard(message.row)
        while worker.attempts and not worker.attempts[0].left:
            worker.attempts.popleft()
        yield message
    elif message == READY:
        worker.ready = True


def _bury(worker: Worker, queue: deque[Attempt]) -> Iterator[Outcome]:
    """Takes back what a process had when it ended; gives up rows that ended `TRIES` processes."""
    worker.process.join()
    how = f"by signal {-worker.process.exitcode}" if worker.process.exitcode < 0 else f"({worker.process.exitcode})"
    if not worker.ready:
        raise StoppedError(f"a process ended {how} while it loaded the model; take fewer --workers or free memory")
    for place, attempt in enumerate(reversed(worker.attempts)):
        deaths = attempt.deaths + (place == len(worker.attempts) - 1)  # the others were only waiting
        for job in reversed([job for job in attempt.group.jobs if job.row in attempt.left]):
            if deaths < TRIES:
                queue.appendleft(Attempt(Group((job,)), {job.row}, deaths))
            else:
                ended = f"the process at work on it ended {how}, {deaths} times"
                yield Outcome(job.row, reason=f"{ended}; it may need more memory than is free, or another device")


def _work(line: Connection, setup: Setup) -> None:
    """A worker's life."""
    from studio.commands import quiet_libraries

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the run decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    quiet_libraries()
    try:
        with at_desk(setup) as desk:
            line.send(READY)
            for outcome in edit_groups(desk, iter(line.recv, None)):
                line.send(outcome)
    except DeviceError:
        os._exit(1)  # the run starts another; the reader, which waits for its next group, would delay an orderly end
    except EditRealError as error:
        line.send(error)
    except (EOFError, ConnectionError):  # the run is over
        pass
    except Exception:
        traceback.print_exc()
        os._exit(1)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
