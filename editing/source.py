"""The source's rows, kept as they pass in one edit of a photo, so that the next ones need not ask the model for them.

Where the source follows its trajectory, it is the same in every edit: so are its queries, keys, values and features at
the layers that a control looks at. A later edit then carries two rows instead of three.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch

from backbones.attention import Control, Site
from backbones.levels import Prediction
from backbones.memory import free_memory

SHARE_KEPT = 0.25  # of the memory that is free on the device when the first edit begins

Parts = tuple[torch.Tensor, ...]
"""Of one row: query, key and value `(1, heads, ., d)`, or a residual branch's output `(1, C, h, w)`."""


class SourceRow(NamedTuple):
    """The source at one step: what the model sees in it, and what it holds at sites that a control asked for."""

    prediction: Prediction
    parts: Mapping[Site, Parts]

    @property
    def bytes(self) -> int:
        return sum(part.nbytes for parts in (self.prediction, *self.parts.values()) for part in parts)


class SourceRows:
    """What is kept of one trajectory's source, in the network's own number format, so that nothing is rounded.

    Example:
        >>> rows = SourceRows.within(backbone.device)
        >>> first = sample_edits(backbone, trajectory, view, [plan], maps, source_rows=rows)
        >>> second = sample_edits(backbone, trajectory, view, [other], maps, source_rows=rows)  # two rows a step
    """

    def __init__(self, limit: float) -> None:
        """`limit` of the bytes that are held; steps beyond it run along as if nothing were kept."""
        self.limit, self.bytes = limit, 0
        self._rows: dict[int, SourceRow] = {}
        self._lock = threading.Lock()

    @classmethod
    def within(cls, device: torch.device) -> SourceRows:
        """Rows that take a quarter of a device's free memory at most."""
        return cls(SHARE_KEPT * free_memory(device))

    def at(self, step: int, sites: Collection[Site]) -> SourceRow | None:
        """The row of a step with what it holds at all of the sites; None where that is not at hand."""
        row = self._rows.get(step)
        return row if row is not None and row.parts.keys() >= set(sites) else None

    def keep(self, step: int, row: SourceRow) -> None:
        """Keeps a row beside what was kept of its step before, where there is room."""
        with self._lock:
            before = self._rows.get(step)
            if before is not None:
                row = SourceRow(before.prediction, {**row.parts, **before.parts})
            more = row.bytes - (0 if before is None else before.bytes)
            if self.bytes + more <= self.limit:
                self._rows[step] = row
                self.bytes += more


class Keeping(Control):
    """Keeps what a batch's first row, the source's, holds where the control inside it takes part."""

    def __init__(self, inside: Control, sites: Collection[Site]) -> None:
        """`sites` are those that are kept, among those of `inside`."""
        self._inside, self._kept = inside, set(sites)
        self.parts: dict[Site, Parts] = {}

    def sites(self, step: int) -> Collection[Site]:
        return self._inside.sites(step)

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        self._keep(site, query, key, value)
        return self._inside.attend(site, query, key, value, step)

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        self._keep(site, hidden)
        return self._inside.features(site, hidden, step)

    def _keep(self, site: Site, *parts: torch.Tensor) -> None:
        if site in self._kept:
            self.parts[site] = tuple(part[:1].clone() for part in parts)  # a view would hold the whole batch


class WithSource(Control):
    """Shows the control inside it the source's row before those of the edits, where the batch has the edits' alone."""

    def __init__(self, inside: Control, row: SourceRow) -> None:
        self._inside, self._parts = inside, row.parts

    def sites(self, step: int) -> Collection[Site]:
        return self._inside.sites(step)

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        if site not in self._parts:  # where nobody looks at the source
            return self._inside.attend(site, query, key, value, step)
        query, key, value = (torch.cat(both) for both in zip(self._parts[site], (query, key, value), strict=True))
        return self._inside.attend(site, query, key, value, step)[1:]

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        if site not in self._parts:
            return self._inside.features(site, hidden, step)
        return self._inside.features(site, torch.cat([*self._parts[site], hidden]), step)[1:]
