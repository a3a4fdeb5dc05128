"""Blended latent diffusion: the masked part of a photo drawn anew, the rest put back at every step."""

from __future__ import annotations

import numpy as np
import torch

from backbones.backbone import Backbone
from backbones.text import encode_prompt
from inversion.ddim import Callback
from inversion.guidance import guide
from inversion.schedule import make_schedule
from inversion.steps import ddim_step
from masks.local_blend import blend_latents


@torch.no_grad()
def inpaint_blended(
    backbone: Backbone,
    latents: torch.Tensor,
    caption: str,
    mask: torch.Tensor,
    *,
    steps: int,
    guidance_scale: float,
    seed: int,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Blended latent diffusion with the DDIM sampler (Avrahami et al., SIGGRAPH 2023, algorithm 1).

    After every step `z = m z_fg + (1 - m) z_bg`, where `z_fg` was denoised towards the caption and `z_bg` is the
    photo with fresh noise of that level; at the end `z_bg` is the photo.

    Args:
        backbone: The model.
        latents: The photo's, `(1, C, h, w)`.
        caption: What the result should show.
        mask: What is drawn anew, `(h, w)` bool, such as `latent_mask` gives.
        steps: Of the schedule.
        guidance_scale: How strongly the drawing follows the caption.
        seed: Of all noise.
        callback: Called after every step.

    Returns:
        `(1, C, h, w)`.
    """
    schedule, generator = make_schedule(backbone, steps), torch.Generator().manual_seed(seed)
    prompt_embeds = torch.cat([encode_prompt(backbone, ""), encode_prompt(backbone, caption)])
    drawn = torch.randn(latents.shape, generator=generator).to(latents)
    for i, timestep in enumerate(schedule.timesteps):
        alpha_prod_t, alpha_prod_t_prev = schedule.alpha_prods[i : i + 2]
        noise_pred = backbone.noise_pred(drawn.expand(2, -1, -1, -1), timestep, prompt_embeds)
        noise_pred_uncond, noise_pred_cond = noise_pred.chunk(2)
        guided = guide(noise_pred_uncond, noise_pred_cond, guidance_scale)
        drawn = ddim_step(drawn, guided, alpha_prod_t, alpha_prod_t_prev)
        known = latents
        if i + 1 < steps:
            noise = torch.randn(latents.shape, generator=generator).to(latents)
            known = alpha_prod_t_prev**0.5 * latents + (1 - alpha_prod_t_prev) ** 0.5 * noise
        drawn = blend_latents(drawn, known, mask.float())
        if callback:
            callback(i, drawn)
    return drawn


def latent_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """The cells of a `height` x `width` grid over the mask `(H, W)` that hold any of its pixels, bool."""
    cells = mask
    for axis, count in ((0, height), (1, width)):
        size = cells.shape[axis]
        spans = [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        cells = np.stack([np.take(cells, range(span.start, span.stop), axis).any(axis) for span in spans], axis)
    return cells
