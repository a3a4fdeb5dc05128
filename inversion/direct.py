"""Direct inversion: DDIM inversion whose path is replayed, so that nothing of the unconditional needs to be tuned."""

from __future__ import annotations

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from inversion.ddim import ddim_invert
from inversion.progress import Progress
from inversion.schedule import Schedule
from inversion.settings import InversionSettings
from inversion.trajectory import Inverted


def direct(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
) -> Inverted:
    """The pivots of DDIM inversion, with the empty caption's embedding at every step (Ju et al., ICLR 2024).

    Where guided sampling would leave the pivots, an edit puts its source branch back on them, which is the published
    correction by stored differences without the differences. An edit with `exact=False` leaves it out: then this is
    plain DDIM inversion (Song et al. 2021), which guidance leads away from the photo.

    Arguments are those of every method, see `method.Invert`.
    """
    with progress.phase("invert", schedule.steps) as callback:
        pivots = ddim_invert(backbone, schedule, latents, condition, callback)
    return Inverted(pivots, backbone.condition([""]).expand(schedule.steps))
