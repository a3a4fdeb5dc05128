"""What the model holds of a photo, looked at once before its edits, so that none of them need carry the source along.

Where the source follows its trajectory, it is the same in every edit: so are its queries, keys, values and features at
the layers that a control looks at. All steps are known beforehand and are looked at in batches, together with where
the caption's words are. An edit then carries two rows a step instead of three.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from backbones.attention import Control, Site, attention
from backbones.backbone import Backbone
from backbones.levels import Prediction
from editing.controls import CONTROLS
from editing.plan import EditPlan
from inversion.progress import Callback
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory
from masks.record import Looked, levels_at_once, look_at_levels

Parts = tuple[torch.Tensor, ...]
"""Of one row: query, key and value `(1, heads, ., d)`, or a residual branch's output `(1, C, h, w)`."""

Needs = tuple[frozenset[Site], ...]
"""Where a control looks at the source, step by step."""


class SourceRow(NamedTuple):
    """The source at one step: what the model sees in it, and what it holds at sites that a control looks at."""

    prediction: Prediction
    parts: Mapping[Site, Parts]

    @property
    def bytes(self) -> int:
        return sum(map(_bytes, self.parts.values()))


@dataclass(frozen=True, eq=False)
class SourceRows:
    """What is kept of one trajectory's source, in the network's own number format, so that nothing is rounded.

    What it holds does not depend on how much else is kept, so that no edit depends on those before it.

    Attributes:
        needs: What was asked for.
        rows: By their steps, as far as memory allowed; at the others the source runs along.
        whole: Whether all that was asked for is there.
    """

    needs: Needs
    rows: Mapping[int, SourceRow]
    whole: bool

    def at(self, step: int, sites: Collection[Site]) -> SourceRow | None:
        """The row of a step with what it holds at all of the sites; None where that is not at hand."""
        row = self.rows.get(step)
        if row is None or not row.parts.keys() >= set(sites):
            return None
        return SourceRow(row.prediction, {site: row.parts[site] for site in sites})

    def serve(self, needs: Needs) -> bool:
        """Whether looking again for these needs would find nothing more."""
        return self.needs == needs or (self.whole and all(map(frozenset.issuperset, self.needs, needs)))

    @property
    def bytes(self) -> int:
        return sum(row.bytes for row in self.rows.values())


def needs_of(backbone: Backbone, plans: Sequence[EditPlan], height: int, width: int) -> Needs:
    """Where edits that are alike in control look at the source, for latents of `height` x `width`."""
    control = CONTROLS[plans[0].settings.control](plans, backbone.sites(height, width), backbone.device)
    return tuple(frozenset(control.sites(step)) for step in range(plans[0].sampled.stop))


@torch.no_grad()
def look_at_rows(
    backbone: Backbone,
    trajectory: Trajectory,
    needs: Needs,
    limit: float,
    *,
    mapped: Collection[int] = (),
    callback: Callback | None = None,
) -> tuple[list[Looked], SourceRows]:
    """What a control needs of every step of a trajectory's source.

    From the last step to the first, since a control looks at fewer sites in late steps, so that more of those fit.

    Args:
        backbone: The model.
        trajectory: On its device.
        needs: From `needs_of`.
        limit: Of the bytes that are kept; steps for which there is no room are left out.
        mapped: Steps whose attention is returned as well, in their order.
        callback: Called after every batch of steps.
    """
    sites, latents = backbone.sites(*trajectory.latents.shape[-2:]), trajectory.latents
    timesteps, condition = make_schedule(backbone, trajectory.steps).timesteps, backbone.condition([trajectory.caption])
    kept_at = [site for site in sites if site.kind != "residual" or any(site in some for some in needs)]
    rows: dict[int, SourceRow] = {}
    found: list[Looked] = []
    whole, done = True, 0
    for steps in reversed(_batches(trajectory, mapped, sites)):
        wanted = {index: needs[step] for index, step in enumerate(steps) if step >= trajectory.first}
        keeping = Keeping(kept_at, wanted, limit - sum(row.bytes for row in rows.values()))
        looked = look_at_levels(backbone, latents[steps], [timesteps[step] for step in steps], condition, keeping)
        rows |= {steps[index]: row for index, row in keeping.rows(looked.prediction).items()}
        whole = whole and keeping.whole
        found.insert(0, looked.only([index for index, step in enumerate(steps) if step in mapped]))
        done += len(steps)
        if callback:
            callback(done - 1, latents[steps[:1]])
    return found, SourceRows(needs, rows, whole)


def steps_looked_at(trajectory: Trajectory, mapped: Collection[int] = ()) -> int:
    """How many steps `look_at_rows` looks at."""
    return len(trajectory.sampled) + sum(step < trajectory.first for step in mapped)


def _batches(trajectory: Trajectory, mapped: Collection[int], sites: Sequence[Site]) -> list[list[int]]:
    """Steps that are mapped alone, then those that are sampled, in batches that are the same whatever is mapped."""
    early = sorted(step for step in mapped if step < trajectory.first)
    return [
        [steps[i] for i in some] for steps in (early, trajectory.sampled) for some in levels_at_once(len(steps), sites)
    ]


class Keeping(Control):
    """Keeps what some of a batch's rows hold at sites that they need, and changes nothing.

    Once it is more than `limit` the rows that need most are let go.
    """

    def __init__(self, sites: Collection[Site], needs: Mapping[int, frozenset[Site]], limit: float) -> None:
        """`sites` are those where it takes part, whatever is needed, so that all are computed alike."""
        self._sites, self._needs, self._left = sites, dict(needs), limit
        self._parts: dict[int, dict[Site, Parts]] = {index: {} for index in needs}
        self.whole = True

    def sites(self, step: int) -> Collection[Site]:
        return self._sites

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        self._keep(site, query, key, value)
        return attention(query, key, value)

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        self._keep(site, hidden)
        return hidden

    def rows(self, prediction: Prediction) -> dict[int, SourceRow]:
        """What was kept, by the rows of the batch."""
        return {index: SourceRow(Prediction(*_cut(prediction, index)), parts) for index, parts in self._parts.items()}

    def _keep(self, site: Site, *parts: torch.Tensor) -> None:
        for index, kept in self._parts.items():
            if site in self._needs[index]:
                kept[site] = _cut(parts, index)
                self._left -= _bytes(kept[site])
        while self._left < 0:
            most = max(self._parts, key=lambda index: (len(self._needs[index]), index))
            self._left += sum(map(_bytes, self._parts.pop(most).values()))
            self.whole = False


def _cut(parts: Parts, index: int) -> Parts:
    """One row, copied, since a view would hold all of them."""
    return tuple(part[index : index + 1].clone() for part in parts)


def _bytes(parts: Parts) -> int:
    return sum(part.nbytes for part in parts)


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
