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
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory
from masks.aggregate import AttentionMaps
from masks.record import in_batches, look_at_levels, map_sites

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
        return sum(part.nbytes for parts in (self.prediction, *self.parts.values()) for part in parts)


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
        return row if row is not None and row.parts.keys() >= set(sites) else None

    def serve(self, needs: Needs) -> bool:
        """Whether looking again for these needs would find nothing more."""
        return self.needs == needs or (self.whole and all(map(frozenset.issuperset, self.needs, needs)))

    @property
    def bytes(self) -> int:
        return sum(row.bytes for row in self.rows.values())


def needs_of(backbone: Backbone, plans: Sequence[EditPlan], height: int, width: int) -> Needs:
    """Where edits that are alike in control look at the source, for latents of `height` x `width`."""
    control = CONTROLS[plans[0].settings.control](plans, backbone.sites(height, width), backbone.device)
    return tuple(frozenset(control.sites(step)) for step in range(plans[0].steps))


@torch.no_grad()
def look_at_rows(
    backbone: Backbone, trajectory: Trajectory, needs: Needs, limit: float, levels: int
) -> tuple[AttentionMaps, SourceRows]:
    """Every step of a trajectory's source, and where the caption's words are at `levels` of them.

    Args:
        backbone: The model.
        trajectory: On its device.
        needs: From `needs_of`.
        limit: Of the bytes that are kept; steps for which there is no room are left out.
        levels: As in `look_for_words`.
    """
    sites, mapped = backbone.sites(*trajectory.latents.shape[-2:]), trajectory.spread_steps(levels)
    timesteps, condition = make_schedule(backbone, trajectory.steps).timesteps, backbone.condition([trajectory.caption])
    keeping = Keeping([site for site in sites if site.kind != "residual" or any(site in some for some in needs)])
    rows: dict[int, SourceRow] = {}
    cross, pixels, left, whole = [], torch.zeros((), device=backbone.device), limit, True
    for steps in in_batches(trajectory.steps, sites):
        at = [timesteps[step] for step in steps]
        looked = look_at_levels(backbone, trajectory.latents[steps], at, condition, keeping)
        on_maps = [index for index, step in enumerate(steps) if step in mapped]
        cross.append(looked.cross[on_maps])
        pixels = pixels + looked.pixels[on_maps].sum(0)
        for index, step in enumerate(steps):
            row = keeping.row(index, needs[step], looked.prediction)
            if row.bytes > left:
                whole = False
            elif step >= trajectory.first:
                rows[step], left = row, left - row.bytes
    first = map_sites(sites)[0]
    maps = AttentionMaps(torch.cat(cross), pixels / len(mapped), first.height, first.width)
    return maps, SourceRows(needs, rows, whole)


class Keeping(Control):
    """Keeps what every row of a batch holds at some sites, and changes nothing."""

    def __init__(self, sites: Collection[Site]) -> None:
        self._sites = sites
        self._parts: dict[Site, Parts] = {}

    def sites(self, step: int) -> Collection[Site]:
        return self._sites

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        self._parts[site] = (query, key, value)
        return attention(query, key, value)

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        self._parts[site] = (hidden,)
        return hidden

    def row(self, index: int, sites: Collection[Site], prediction: Prediction) -> SourceRow:
        """One row of the last batch, copied, since a view would hold all of them."""

        def cut(parts: Parts) -> Parts:
            return tuple(part[index : index + 1].clone() for part in parts)

        return SourceRow(Prediction(*cut(prediction)), {site: cut(self._parts[site]) for site in sites})


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
