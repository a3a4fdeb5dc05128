"""Null-text optimisation: an unconditional embedding for every step, tuned until guided sampling meets the pivots."""

from __future__ import annotations

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from inversion.ddim import ddim_invert
from inversion.null_text_blocks import optimize_in_blocks
from inversion.null_text_path import optimize_null_text
from inversion.progress import Progress
from inversion.schedule import Schedule
from inversion.settings import InversionSettings
from inversion.trajectory import Inverted


def null_text(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
) -> Inverted:
    """DDIM inversion, then null-text optimisation along its pivots; the report says what that took.

    Arguments are those of every method, see `method.Invert`.
    """
    assert settings.guidance_scale is not None
    with progress.phase("invert", schedule.steps) as callback:
        pivots = ddim_invert(backbone, schedule, latents, condition, callback)
    start = condition if settings.null_text_start == "caption" else backbone.condition([""])
    problem = (backbone, schedule, pivots, condition, start, settings.guidance_scale)
    updates, block = settings.max_inner_steps, settings.null_text_block
    with progress.phase("null-text", schedule.steps) as callback:
        if block == 1:
            tuned = optimize_null_text(*problem, max_inner_steps=updates, callback=callback)
        else:
            every = settings.null_text_every
            tuned = optimize_in_blocks(*problem, max_inner_steps=updates, block=block, every=every, callback=callback)
    report = tuned.report | {"null_text_start": settings.null_text_start}
    return Inverted(pivots, tuned.uncond, tuned.arrived, report)
