"""How far a run has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from tqdm import tqdm

Callback = Callable[[int, torch.Tensor], None]
"""`callback(step, latents)` after every step; where steps are done together, as far as they have come, several times.

For bars, previews, and to end a run by raising.
"""


class Progress:
    """Tells of each phase of a run, such as an inversion: by a bar, by the user's own function, or not at all.

    A front end that wants to know the phases' names and lengths overrides `phase`.
    """

    def __init__(self, wanted: bool | Callback = False) -> None:
        self._wanted = wanted

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callback]:
        """A callback for the `total` steps of one phase. Bars are silent where there is no terminal."""
        report = self._wanted if callable(self._wanted) else None
        with tqdm(total=total, desc=name, disable=None if self._wanted is True else True, leave=False) as bar:

            def told(step: int, latents: torch.Tensor) -> None:
                bar.update(step + 1 - bar.n)
                if report:
                    report(step, latents)

            yield told


def progress_of(wanted: bool | Callback | Progress) -> Progress:
    """What a caller may hand over as `progress`: True for bars, a callback, or a `Progress` of its own."""
    return wanted if isinstance(wanted, Progress) else Progress(wanted)
