"""Peak memory of a stretch of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Peak:
    """In MiB, once the stretch is over; NaN where the system does not tell."""

    mib: float = float("nan")


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """The most memory held at once: what torch took of a CUDA device, else the process's resident memory (Linux)."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.mib = torch.cuda.max_memory_allocated(device) / 2**20
        return
    try:
        RESET.write_text("5")  # starts VmHWM anew, see proc(5)
    except OSError:
        yield peak
        return
    yield peak
    found = re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text())
    peak.mib = int(found[1]) / 1024 if found else float("nan")
