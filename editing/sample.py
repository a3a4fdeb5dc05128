"""The denoising loop: the source follows its trajectory, the targets are edited beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from backbones.attention import controlled
from backbones.backbone import Backbone
from backbones.finite import check_finite
from backbones.view import View
from editing.controls import CONTROLS
from editing.place import Place
from editing.plan import EditPlan
from editing.rows import Rows
from inversion.guidance import guide
from inversion.progress import Callback
from inversion.schedule import make_schedule
from inversion.steps import ddim_step
from inversion.trajectory import Trajectory
from masks.aggregate import AttentionMaps
from masks.record import Recorder, map_sites


@dataclass(frozen=True, eq=False)
class Sampled:
    """What the loop leaves.

    Attributes:
        latents: The edits, `(N, C, h, w)`.
        source: Where the source arrived, `(1, C, h, w)`.
        places: Where each edit took place.
        maps: Each new caption's attention over its edit, over all steps, as it was before it was edited.
    """

    latents: torch.Tensor
    source: torch.Tensor
    places: list[Place]
    maps: list[AttentionMaps]


@torch.no_grad()
def sample_edits(
    backbone: Backbone,
    trajectory: Trajectory,
    view: View,
    plans: Sequence[EditPlan],
    maps: AttentionMaps,
    *,
    callback: Callback | None = None,
) -> Sampled:
    """Samples edits of one trajectory in one batch, see `Rows`.

    Args:
        backbone: The model.
        trajectory: Of the source.
        view: Of the photo.
        plans: One or more, alike in `control` and `exact`.
        maps: The attention of the trajectory's caption over the photo.
        callback: Called with the targets' latents after every step.
    """
    trajectory, schedule, rows = (
        trajectory.to(backbone.device),
        make_schedule(backbone, trajectory.steps),
        Rows(len(plans)),
    )
    sites = backbone.sites(*trajectory.latents.shape[-2:])
    control = CONTROLS[plans[0].settings.control](plans, sites, backbone.device)
    recorder = Recorder(map_sites(sites), rows.cond, inside=control)
    places = [Place(plan, maps, view) for plan in plans]
    source_condition = backbone.condition([plans[0].alignment.source])
    target_conditions = backbone.condition([plan.alignment.target for plan in plans])

    overflow = torch.zeros((), device=backbone.device)  # NaN once anything is not finite, which the blend would hide
    source, latents = trajectory.latents[:1], trajectory.latents[:1].expand(rows.edits, -1, -1, -1)
    for i, timestep in enumerate(schedule.timesteps):
        condition = rows.conditions(source_condition, trajectory.uncond[i], target_conditions)
        with controlled(backbone, recorder, step=i):
            prediction = backbone.predict(rows.join(source, latents), timestep, condition)
        of_source, uncond, cond = rows.split(prediction)
        latents = ddim_step(guide(uncond, cond, trajectory.guidance_scale), schedule.levels[i + 1])
        if plans[0].settings.exact:
            source = trajectory.latents[i + 1 : i + 2]
        else:
            uncond = backbone.predict(source, timestep, trajectory.uncond[i])
            source = ddim_step(guide(uncond, of_source, trajectory.guidance_scale), schedule.levels[i + 1])
        overflow = overflow + (0 * latents).sum()
        blended = [
            place.blend(one, source, recorder.maps(row), step=i)
            for row, (place, one) in enumerate(zip(places, latents.split(1), strict=True))
        ]
        latents = torch.cat(blended)
        if callback:
            callback(i, latents)
    check_finite(overflow, "edited latents")
    return Sampled(latents, source, places, [recorder.maps(row) for row in range(rows.edits)])
