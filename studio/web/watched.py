"""Progress that a page can show, and that can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from inversion.progress import Callback, Progress

Tell = Callable[[str, int, int], None]
"""`tell(phase, done, total)` as a phase begins and after each of its steps."""


class Cancelled(Exception):  # noqa: N818 - no error: the visitor wanted it
    """The visitor has stopped what was running."""


class Watched(Progress):
    """Tells a page of every step, and ends the run at the next one where it is asked to stop."""

    def __init__(self, tell: Tell, stop: threading.Event) -> None:
        super().__init__()
        self._tell, self._stop = tell, stop

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callback]:
        """See `Progress.phase`.

        Raises:
            Cancelled: It was stopped.
        """
        done = 0
        self._at(name, done, total)

        def told(step: int, latents: torch.Tensor) -> None:
            nonlocal done
            done = max(done, step + 1)
            self._at(name, done, total)

        yield told

    def _at(self, name: str, done: int, total: int) -> None:
        if self._stop.is_set():
            raise Cancelled
        self._tell(name, done, total)
