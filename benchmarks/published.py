"""Null-text optimisation exactly as published, for the rows that ours is compared with."""

from __future__ import annotations

from dataclasses import replace

from backbones.backbone import Backbone
from inversion.null_text_path import optimize_null_text
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory

INNER_STEPS = 10


def as_published(backbone: Backbone, trajectory: Trajectory) -> Trajectory:
    """The same pivots with unconditional embeddings tuned as the authors' code tunes them (Mokady et al., CVPR 2023).

    At most ten updates a step, a stop test that stands after the update, the last iterate kept.
    """
    tuned = optimize_null_text(
        backbone,
        make_schedule(backbone, trajectory.steps),
        trajectory.latents,
        backbone.condition([trajectory.caption]),
        backbone.condition([""]),
        trajectory.guidance_scale,
        max_inner_steps=INNER_STEPS,
        as_published=True,
    )
    return replace(trajectory, uncond=tuned.uncond, arrived=tuned.arrived, method="null_text")
