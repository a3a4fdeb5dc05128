"""The denoising loop: the source follows its trajectory, the targets are edited beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from backbones.attention import Control, controlled
from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.finite import check_finite
from backbones.levels import Prediction
from backbones.view import View
from editing.controls import CONTROLS
from editing.negative import negative_shares
from editing.place import Outlines, Place
from editing.plan import EditPlan
from editing.rows import Rows
from editing.source_rows import SourceRow, SourceRows, WithSource
from inversion.guidance import guide
from inversion.invert import walk_of
from inversion.progress import Callback
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory
from inversion.walk import State
from masks.aggregate import AttentionMaps
from masks.record import Recorder, map_sites


@dataclass(frozen=True, eq=False)
class Sampled:
    """What the loop leaves.

    Attributes:
        latents: The edits, `(N, C, h, w)`.
        source: Where the source arrived, `(1, C, h, w)`.
        places: Where each edit took place.
        maps: Each new caption's attention over its edit, over all steps, as it was before it was edited; None where no
            place follows it.
    """

    latents: torch.Tensor
    source: torch.Tensor
    places: list[Place]
    maps: list[AttentionMaps | None]


@torch.no_grad()
def sample_edits(
    backbone: Backbone,
    trajectory: Trajectory,
    view: View,
    plans: Sequence[EditPlan],
    maps: AttentionMaps,
    *,
    source_rows: SourceRows | None = None,
    outlines: Outlines | None = None,
    callback: Callback | None = None,
) -> Sampled:
    """Samples edits of one trajectory in one batch, see `Rows`.

    Args:
        backbone: The model.
        trajectory: Of the source.
        view: Of the photo.
        plans: One or more, alike in `control` and `exact`.
        maps: The attention of the trajectory's caption over the photo.
        source_rows: Of this trajectory; at the steps that they hold the source need not run along.
        outlines: Of masks in this photo; what is missing is added.
        callback: Called with the targets' latents after every step.
    """
    trajectory, rows = trajectory.to(backbone.device), Rows(len(plans))
    walk = walk_of(backbone, trajectory, plans[0].settings.exact)
    sites = backbone.sites(*trajectory.latents.shape[-2:])
    control = CONTROLS[plans[0].settings.control](plans, sites, backbone.device)
    places = [Place(plan, maps, view, outlines) for plan in plans]
    recorder = Recorder(map_sites(sites), slice(-rows.edits, None), inside=control)  # the last, source or not
    follows = any(place.follows for place in places)

    def maps_so_far() -> list[AttentionMaps | None]:
        return [recorder.maps(row) if follows else None for row in range(rows.edits)]

    known = source_rows if walk.replays else None
    predictor = Predictor(backbone, trajectory, plans, rows, recorder if follows else control, control, known)

    overflow = torch.zeros((), device=backbone.device)  # NaN once anything is not finite, which the blend would hide
    source = walk.begin()
    targets: State = tuple(part.expand(rows.edits, -1, -1, -1) for part in source)
    for i in range(walk.first, trajectory.steps):
        source, targets = walk.step(i, source, targets, partial(predictor.predict, i))
        overflow = overflow + sum((0 * part).sum() for part in targets)
        targets = _blend(places, targets, source, maps_so_far(), step=i)
        if callback:
            callback(i, targets[0])
    check_finite(overflow, "edited latents")
    edited, arrived = targets[0].float(), source[0].float()
    return Sampled(edited, arrived, places, maps_so_far())


class Predictor:
    """What the model sees in the rows of a batch at a step, under the edits' control.

    A negative caption is asked for in the unconditional rows' place, in a second evaluation that is not recorded.
    """

    def __init__(
        self,
        backbone: Backbone,
        trajectory: Trajectory,
        plans: Sequence[EditPlan],
        rows: Rows,
        recorder: Control,
        control: Control,
        source_rows: SourceRows | None = None,
    ) -> None:
        self._backbone, self._uncond, self._rows = backbone, trajectory.uncond, rows
        self._recorder, self._control, self._source_rows = recorder, control, source_rows
        self._timesteps = make_schedule(backbone, trajectory.steps).timesteps
        self._source = backbone.condition([plans[0].alignment.source])
        self._targets = backbone.condition([plan.alignment.target for plan in plans])
        shares = negative_shares([plan.settings.negative_alpha for plan in plans], trajectory.sampled)
        self._negative = None if shares is None else shares.to(backbone.device)

    def predict(
        self, step: int, source: torch.Tensor, targets: torch.Tensor
    ) -> tuple[Prediction, Prediction, Prediction]:
        """Of the source `(1, C, h, w)`, and the targets' `(N, C, h, w)` unconditional and conditional ones."""
        latents, known = self._rows.join(source, targets), self._known(step)
        of_source, uncond, cond = self._ask(latents, step, self._uncond[step], self._recorder, known)
        if self._negative is not None:
            _, negative, _ = self._ask(latents, step, self._source, self._control, known)
            uncond = guide(uncond, negative, self._negative[step])
        return of_source, uncond, cond

    def _known(self, step: int) -> SourceRow | None:
        return None if self._source_rows is None else self._source_rows.at(step, self._control.sites(step))

    def _ask(
        self, latents: torch.Tensor, step: int, uncond: Condition, control: Control, known: SourceRow | None
    ) -> tuple[Prediction, Prediction, Prediction]:
        condition = self._rows.conditions(self._source, uncond, self._targets)
        if known is None:
            with controlled(self._backbone, control, step=step):
                return self._rows.split(self._backbone.predict(latents, self._timesteps[step], condition))
        with controlled(self._backbone, WithSource(control, known), step=step):
            seen = self._backbone.predict(latents[1:], self._timesteps[step], condition[slice(1, None)])
        return self._rows.split(Prediction(*(torch.cat(both) for both in zip(known.prediction, seen, strict=True))))


def _blend(
    places: Sequence[Place], targets: State, source: State, maps: Sequence[AttentionMaps | None], step: int
) -> State:
    """Every part of the targets' state with the source's outside the mask."""
    blended = [
        torch.cat(
            [place.blend(one, known, seen, step) for place, one, seen in zip(places, part.split(1), maps, strict=True)]
        )
        for part, known in zip(targets, source, strict=True)
    ]
    return tuple(blended)
