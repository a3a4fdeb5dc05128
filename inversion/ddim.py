"""DDIM inversion, and sampling back with guidance."""

from __future__ import annotations

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.finite import check_finite
from inversion.guidance import guide
from inversion.progress import Callback
from inversion.schedule import Schedule
from inversion.steps import ddim_step


@torch.no_grad()
def ddim_invert(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Follows the deterministic sampler backwards, with the caption at guidance 1.

    The noise of each transition is predicted from its cleaner end, at the timestep of its noisier end (Mokady et
    al. 2023, section 3.1). Guidance above 1 would amplify the error of that approximation.

    Args:
        backbone: The model.
        schedule: From `make_schedule`.
        latents: The photo's, `(1, C, h, w)`.
        condition: The caption's, one row.
        callback: Called with the steps counted from the photo.

    Returns:
        The pivots `(steps + 1, C, h, w)`, from noise (index 0) to photo (the last).
    """
    pivots = [latents]
    for done, i in enumerate(reversed(range(schedule.steps))):
        prediction = backbone.predict(latents, schedule.timesteps[i], condition, schedule.levels[i + 1])
        latents = ddim_step(prediction, schedule.levels[i])
        pivots.append(latents)
        if callback:
            callback(done, latents)
    return check_finite(torch.cat(pivots[::-1]), "inverted latents")


@torch.no_grad()
def ddim_sample(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    uncond: Condition,
    guidance_scale: float,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Samples from `latents` with guidance.

    Args:
        backbone: The model.
        schedule: From `make_schedule`.
        latents: Noise `(1, C, h, w)`.
        condition: The caption's, one row.
        uncond: The unconditional one, a row for each step.
        guidance_scale: 1 uses the conditional prediction alone.
        callback: Called after every step.

    Returns:
        Every level's latents, `(steps + 1, C, h, w)`, from noise to photo.
    """
    levels = [latents]
    for i, timestep in enumerate(schedule.timesteps):
        prediction = backbone.predict(latents, timestep, condition)
        if guidance_scale != 1:
            prediction = guide(backbone.predict(latents, timestep, uncond[i]), prediction, guidance_scale)
        latents = ddim_step(prediction, schedule.levels[i + 1])
        levels.append(latents)
        if callback:
            callback(i, latents)
    return check_finite(torch.cat(levels), "sampled latents")
