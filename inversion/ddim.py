"""DDIM inversion, and sampling back with guidance."""

from __future__ import annotations

from collections.abc import Callable

import torch

from backbones.backbone import Backbone, check_finite
from inversion.guidance import guide
from inversion.schedule import Schedule
from inversion.steps import ddim_step

Callback = Callable[[int, torch.Tensor], None]
"""`callback(step, latents)` after every step; for progress bars and previews."""


@torch.no_grad()
def ddim_invert(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    prompt_embeds: torch.Tensor,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Follows the deterministic sampler backwards, with the caption at guidance 1.

    The noise of each transition is predicted from its cleaner end, at the timestep of its noisier end (Mokady et
    al. 2023, section 3.1). Guidance above 1 would amplify the error of that approximation.

    Args:
        backbone: The model.
        schedule: From `make_schedule`.
        latents: The photo's, `(1, C, h, w)`.
        prompt_embeds: The caption's, `(1, K, D)`.
        callback: Called with the steps counted from the photo.

    Returns:
        The pivots `(steps + 1, C, h, w)`, from noise (index 0) to photo (the last).
    """
    pivots = [latents]
    for done, i in enumerate(reversed(range(schedule.steps))):
        noise_pred = backbone.noise_pred(latents, schedule.timesteps[i], prompt_embeds)
        latents = ddim_step(latents, noise_pred, schedule.alpha_prods[i + 1], schedule.alpha_prods[i])
        pivots.append(latents)
        if callback:
            callback(done, latents)
    return check_finite(torch.cat(pivots[::-1]), "inverted latents")


@torch.no_grad()
def ddim_sample(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    prompt_embeds: torch.Tensor,
    uncond_embeds: torch.Tensor,
    guidance_scale: float,
    residuals: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Samples from `latents` with guidance; with `residuals`, exactly along the trajectory they were recorded on.

    Args:
        backbone: The model.
        schedule: From `make_schedule`.
        latents: Noise `(1, C, h, w)`.
        prompt_embeds: `(1, K, D)`.
        uncond_embeds: One for each step, `(steps, K, D)`.
        guidance_scale: 1 uses the conditional prediction alone.
        residuals: `(steps, C, h, w)`, added after each step (see `direct.record_residuals`).
        callback: Called after every step.

    Returns:
        Every level's latents, `(steps + 1, C, h, w)`, from noise to photo.
    """
    levels = [latents]
    for i, timestep in enumerate(schedule.timesteps):
        noise_pred = backbone.noise_pred(latents, timestep, prompt_embeds)
        if guidance_scale != 1:
            noise_pred_uncond = backbone.noise_pred(latents, timestep, uncond_embeds[i : i + 1])
            noise_pred = guide(noise_pred_uncond, noise_pred, guidance_scale)
        latents = ddim_step(latents, noise_pred, schedule.alpha_prods[i], schedule.alpha_prods[i + 1])
        if residuals is not None:
            latents = latents + residuals[i]
        levels.append(latents)
        if callback:
            callback(i, latents)
    return check_finite(torch.cat(levels), "sampled latents")
