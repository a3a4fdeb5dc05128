"""How far a run has come."""

from __future__ import annotations

import torch
from tqdm import tqdm

from inversion.ddim import Callback


class Progress:
    """Progress as a callback: a bar, silent where there is no terminal, or the user's own function, or nothing."""

    def __init__(self, name: str, total: int, wanted: bool | Callback) -> None:
        self._bar = tqdm(total=total, desc=name, disable=None if wanted is True else True, leave=False)
        self._report = wanted if callable(wanted) else None

    def __enter__(self) -> Callback:
        return self._step

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def _step(self, step: int, latents: torch.Tensor) -> None:
        self._bar.update()
        if self._report:
            self._report(step, latents)
