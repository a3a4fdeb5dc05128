"""The source's rows at the layers that controls look at, worked out before an edit needs them, many steps at once.

Where the source follows its trajectory, its latents at every step are known beforehand. Its rows then need not run
along with the edits: several steps of it are a batch, whose rows cost far less than one alone, and what a control looks
at is kept for the edits that follow.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from backbones.attention import Control, Site, attention, controlled
from backbones.backbone import Backbone
from backbones.levels import Prediction
from backbones.memory import free_memory, rows_that_fit
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory

STEPS_AT_ONCE = 8
SHARE_KEPT = 0.25  # of the memory that is free when the first edit begins

Parts = tuple[torch.Tensor, ...]
"""Of one row: query, key and value `(1, heads, ., d)`, or a residual branch's output `(1, C, h, w)`."""


class SourceRow(NamedTuple):
    """The source at one step: what the model sees in it, and what it holds at the sites that a control asked for."""

    prediction: Prediction
    parts: Mapping[Site, Parts]


class SourceRows:
    """The rows of one trajectory, as far as edits have asked for them and memory allows."""

    def __init__(self, backbone: Backbone, trajectory: Trajectory, *, keep: bool = True) -> None:
        """`keep=False` forgets a step once a later one is asked for, which serves a single edit."""
        self._backbone, self._keep = backbone, keep
        self._latents, self._schedule = trajectory.latents, make_schedule(backbone, trajectory.steps)
        self._condition = backbone.condition([trajectory.caption])
        self._limit = SHARE_KEPT * free_memory(backbone.device)
        self._rows: dict[int, SourceRow] = {}
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """That are held."""
        return sum(part.nbytes for row in self._rows.values() for parts in row.parts.values() for part in parts)

    def at(self, step: int, control: Control) -> SourceRow | None:
        """The source's row at a step with all that the control wants to see; None where there is no room for it."""
        with self._lock:
            if not self._keep:
                self._rows = {i: row for i, row in self._rows.items() if i >= step}
            if not self._holds(step, control):
                coming = range(step, min(step + self._at_once(), self._schedule.steps))
                self._work_out(self._that_fit([i for i in coming if not self._holds(i, control)], control), control)
            return self._rows[step] if self._holds(step, control) else None

    def _holds(self, step: int, control: Control) -> bool:
        return step in self._rows and self._rows[step].parts.keys() >= set(control.sites(step))

    def _at_once(self) -> int:
        return max(1, min(STEPS_AT_ONCE, int(rows_that_fit(self._backbone, *self._latents.shape[-2:]))))

    def _that_fit(self, steps: Sequence[int], control: Control) -> list[int]:
        """The first of the steps, as many as there is room for."""
        room, fit = self._limit - self.bytes, []
        for step in steps:
            room -= sum(size_at(self._backbone, site) for site in control.sites(step))
            if room < 0:
                break
            fit.append(step)
        return fit

    @torch.no_grad()
    def _work_out(self, steps: Sequence[int], control: Control) -> None:
        if not steps:
            return
        keeper = Keeper({site for step in steps for site in control.sites(step)})
        timesteps = torch.tensor([self._schedule.timesteps[step] for step in steps])
        latents = self._latents[list(steps)].to(self._backbone.device)
        with controlled(self._backbone, keeper, step=steps[0]):
            seen = self._backbone.predict(latents, timesteps, self._condition.expand(len(steps)))
        for row, step in enumerate(steps):
            held = dict(self._rows[step].parts) if step in self._rows else {}
            for site in control.sites(step):
                held[site] = tuple(part[row : row + 1] for part in keeper.parts[site])
            self._rows[step] = SourceRow(Prediction(*(part[row : row + 1] for part in seen)), held)


class Keeper(Control):
    """Keeps what passes some sites, and changes nothing."""

    def __init__(self, sites: Collection[Site]) -> None:
        self._sites = sites
        self.parts: dict[Site, Parts] = {}

    def sites(self, step: int) -> Collection[Site]:
        return self._sites

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        self.parts[site] = (query, key, value)
        return attention(query, key, value)

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        self.parts[site] = (hidden,)
        return hidden


class WithSource(Control):
    """Shows a control the source's row before those of the edits, where the batch has the edits' alone."""

    def __init__(self, inside: Control, row: SourceRow) -> None:
        self._inside, self._parts = inside, row.parts

    def sites(self, step: int) -> Collection[Site]:
        return self._inside.sites(step)

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        if site not in self._parts:  # where only the edits' rows are looked at
            return self._inside.attend(site, query, key, value, step)
        query, key, value = (
            torch.cat([of_source, part])
            for of_source, part in zip(self._parts[site], (query, key, value), strict=True)
        )
        return self._inside.attend(site, query, key, value, step)[1:]

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        if site not in self._parts:
            return self._inside.features(site, hidden, step)
        return self._inside.features(site, torch.cat([*self._parts[site], hidden]), step)[1:]


def size_at(backbone: Backbone, site: Site) -> int:
    """About how many bytes a row holds at a site."""
    module: Any = backbone.denoiser.get_submodule(site.name)
    width = module.conv2.out_channels if site.kind == "residual" else module.to_q.out_features
    parts = {"residual": 1, "cross": 1}.get(site.kind, 3)  # the caption's keys and values are small
    return int(parts * width * site.cells * backbone.dtype.itemsize)
