"""Direct inversion: what a guided step misses is stored and added back."""

from __future__ import annotations

import torch

from backbones.backbone import Backbone
from inversion.guidance import guide
from inversion.schedule import Schedule
from inversion.steps import ddim_step

BATCH = 8  # steps computed at once; they do not depend on one another


@torch.no_grad()
def record_residuals(
    backbone: Backbone,
    schedule: Schedule,
    pivots: torch.Tensor,
    prompt_embeds: torch.Tensor,
    uncond_embeds: torch.Tensor,
    guidance_scale: float,
) -> torch.Tensor:
    """The difference between each pivot and where the guided step from the one before it lands.

    Added back while sampling, it makes the source branch follow the inversion exactly, with any unconditional
    embedding and any guidance (Ju et al., ICLR 2024, algorithm 1).

    Args:
        backbone: The model.
        schedule: From `make_schedule`.
        pivots: `(steps + 1, C, h, w)`, from noise to photo.
        prompt_embeds: The caption's, `(1, K, D)`.
        uncond_embeds: One for each step, `(steps, K, D)`.
        guidance_scale: That of the sampling which the residuals will serve.

    Returns:
        `(steps, C, h, w)`.
    """
    residuals = []
    for steps in torch.arange(schedule.steps).split(BATCH):
        latents = pivots[steps]
        timesteps = torch.tensor([schedule.timesteps[i] for i in steps])
        noise_pred = backbone.noise_pred(latents, timesteps, prompt_embeds.expand(len(steps), -1, -1))
        if guidance_scale != 1:
            noise_pred_uncond = backbone.noise_pred(latents, timesteps, uncond_embeds[steps])
            noise_pred = guide(noise_pred_uncond, noise_pred, guidance_scale)
        landed = [
            ddim_step(latents[k], noise_pred[k], schedule.alpha_prods[i], schedule.alpha_prods[i + 1])
            for k, i in enumerate(steps.tolist())
        ]
        residuals.append(pivots[steps + 1] - torch.stack(landed))
    return torch.cat(residuals)
