"""Blended latent diffusion: the masked part of a photo drawn anew, the rest put back at every step."""

from __future__ import annotations

import numpy as np
import torch

from backbones.backbone import Backbone
from backbones.levels import Prediction
from inversion.guidance import guide
from inversion.progress import Callback
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
    condition = backbone.condition(["", caption])
    drawn = torch.randn(latents.shape, generator=generator).to(latents)
    for i, timestep in enumerate(schedule.timesteps):
        prediction = backbone.predict(drawn.expand(2, -1, -1, -1), timestep, condition)
        uncond, cond = (Prediction(*(part[row] for part in prediction)) for row in (slice(0, 1), slice(1, 2)))
        level = schedule.levels[i + 1]
        drawn = ddim_step(guide(uncond, cond, guidance_scale), level)
        known = latents
        if i + 1 < steps:
            noise = torch.randn(latents.shape, generator=generator).to(latents)
            known = ddim_step(Prediction(latents, noise), level)
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
