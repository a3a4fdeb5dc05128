"""Negative-prompt inversion: the caption itself stands in for the unconditional embedding."""

from __future__ import annotations

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from inversion.ddim import ddim_invert
from inversion.progress import Progress
from inversion.schedule import Schedule
from inversion.settings import InversionSettings
from inversion.trajectory import Inverted


def negative_prompt(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
) -> Inverted:
    """DDIM inversion, with the caption's embedding as the unconditional one (Miyake et al. 2023, equation 7).

    With it the guided prediction for the caption equals the conditional one at any guidance, which is what the
    inversion used; null-text optimisation ends close to it, at a cost.

    Arguments are those of every method, see `method.Invert`.
    """
    with progress.phase("invert", schedule.steps) as callback:
        pivots = ddim_invert(backbone, schedule, latents, condition, callback)
    return Inverted(pivots, condition.expand(schedule.steps))
