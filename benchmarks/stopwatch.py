"""Time, peak memory and work of a stretch of code, and whether the machine was its own meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.memory import peak_memory

THREADS = Path("/proc/self/task")
SHARED = 0.1  # share of the time in which threads that could have run waited for a core; beyond, a timing is dropped


@dataclass
class Watch:
    """What is known once the stretch is over.

    Attributes:
        seconds: On the wall.
        waited: Share of it in which a thread that could have run waited for a core; NaN where the system does not tell.
        mib: The peak of memory above what was held before.
        rows: Rows that the denoisers took: without gradient, with it, and backward.
    """

    seconds: float = float("nan")
    waited: float = float("nan")
    mib: float = float("nan")
    rows: dict[str, int] = field(default_factory=lambda: {"plain": 0, "graded": 0, "backward": 0})

    @property
    def alone(self) -> bool:
        return not self.waited > SHARED


@contextmanager
def watched(device: torch.device, denoisers: Sequence[nn.Module] = ()) -> Iterator[Watch]:
    """Measures the block; of the denoisers, it counts the rows of their batches."""
    watch, handles = Watch(), []
    try:
        for denoiser in denoisers:
            handles.append(denoiser.register_forward_hook(lambda _, args, output: _count(watch, output)))
        before = resident()
        with peak_memory(device) as peak:
            _synchronize(device)
            queued, start = _queued(), time.perf_counter()
            yield watch
            _synchronize(device)
            watch.seconds = time.perf_counter() - start
            watch.waited = (_queued() - queued) / watch.seconds
        watch.mib = peak.mib - before
    finally:
        for handle in handles:
            handle.remove()


def _count(watch: Watch, output: Any) -> None:
    sample = output[0] if isinstance(output, tuple) else output.sample
    watch.rows["graded" if sample.requires_grad else "plain"] += len(sample)
    if sample.requires_grad:

        def backward(gradient: torch.Tensor) -> None:
            watch.rows["backward"] += len(gradient)

        sample.register_hook(backward)


def _queued() -> float:
    """Seconds that this process's threads, all together, have waited for a core, where Linux tells."""
    waited = 0
    try:
        for thread in THREADS.iterdir():
            waited += int((thread / "schedstat").read_text().split()[1])
    except OSError:
        return float("nan")
    return waited / 1e9


def resident() -> float:
    """MiB that the process holds."""
    try:
        status = (THREADS.parent / "status").read_text()
    except OSError:
        return float("nan")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
