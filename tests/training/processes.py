"""Two processes that find each other, as `torch.distributed.run` starts them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import torch


def in_two_processes(work: Callable[[int, int, Path], None], folder: Path) -> None:
    """Runs `work(rank, port, folder)` in two new processes and waits for both."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, (port, folder), nprocs=2)
