"""Null-text optimisation: an unconditional embedding for every step, tuned until guided sampling meets the pivots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from inversion.ddim import ddim_invert
from inversion.null_text_blocks import optimize_in_blocks
from inversion.null_text_path import NullTextResult, optimize_null_text
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
    optimize: Optimize = optimize_null_text
    if settings.null_text_block > 1:
        optimize = partial(optimize_in_blocks, block=settings.null_text_block, every=settings.null_text_every)
    return invert_and_tune(backbone, schedule, latents, condition, settings, progress, optimize)


Optimize = Callable[..., NullTextResult]
"""Takes what `optimize_null_text` does, by the same names."""


def invert_and_tune(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
    optimize: Optimize,
) -> Inverted:
    """DDIM inversion, and embeddings tuned along its pivots by `optimize`; the rest is handed to every method."""
    assert settings.guidance_scale is not None
    with progress.phase("invert", schedule.steps) as callback:
        pivots = ddim_invert(backbone, schedule, latents, condition, callback)
    start = condition if settings.null_text_start == "caption" else backbone.condition([""])
    problem = (backbone, schedule, pivots, condition, start, settings.guidance_scale)
    with progress.phase("null-text", len(schedule.sampled)) as callback:
        tuned = optimize(*problem, max_inner_steps=settings.max_inner_steps, callback=callback)
    report = tuned.report | {"null_text_start": settings.null_text_start}
    return Inverted(pivots, tuned.uncond, tuned.arrived, report)
