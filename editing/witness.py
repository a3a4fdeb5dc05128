"""What the model itself says of captions: which of them it sees in a picture.

A diffusion model predicts a picture's noise better under the caption that is right (Li et al., "Your Diffusion Model
is Secretly a Zero-Shot Classifier", ICCV 2023). Of an edit the errors are weighted by the mask, since the rest of the
frame is the photo's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from backbones.backbone import Backbone
from backbones.memory import rows_that_fit
from backbones.text import Caption

LEVELS = (0.3, 0.5, 0.7, 0.85)  # shares of the training timesteps
SEED = 0
ROWS_AT_ONCE = 8  # at most: more are hardly quicker, and a large model's take more memory than its edits


@torch.no_grad()
def noise_errors(
    backbone: Backbone,
    latents: torch.Tensor,
    captions: Sequence[str | Caption],
    levels: Sequence[float] = LEVELS,
    *,
    weight: torch.Tensor | None = None,
    seed: int = SEED,
) -> torch.Tensor:
    """How badly the model predicts a picture's noise under each caption: the lower, the better the caption.

    It is the error in the posterior of Li et al. (ICCV 2023), the mean taken over noise and timesteps:
    `p(c | x) ~ exp(-E[||epsilon - epsilon_theta(x_t, t, c)||^2])`. All captions have the same noise, as there, since
    their differences are far smaller than what the noise makes of each.

    Args:
        backbone: The model.
        latents: Of the picture, `(1, C, h, w)`.
        captions: `N` of them.
        levels: `S` shares of the training timesteps, from 0 (the picture) to 1 (noise).
        weight: How much each cell counts, `(h, w)`, not all zeros; all alike by default.
        seed: Of the noise.

    Returns:
        Mean squared errors `(S, N)` float32 on the CPU.
    """
    weight = torch.ones(latents.shape[-2:]) if weight is None else weight
    generator = torch.Generator().manual_seed(seed)
    timesteps = torch.tensor([round(share * (len(backbone.levels) - 1)) for share in levels])
    noises = torch.stack([torch.randn(latents.shape[1:], generator=generator) for _ in levels]).to(latents)
    at = torch.arange(len(levels)).repeat_interleave(len(captions))
    under = torch.arange(len(captions)).repeat(len(levels))
    condition = backbone.condition(captions)
    at_once = max(1, int(min(ROWS_AT_ONCE, rows_that_fit(backbone, *latents.shape[-2:]))))
    errors = []
    for level, caption in zip(at.split(at_once), under.split(at_once), strict=True):
        timestep = timesteps[level].to(backbone.device)
        trained, noise = backbone.levels.at(timestep), noises[level]
        noisy = trained.signal * latents + trained.noise * noise
        predicted = backbone.predict(noisy, timestep, condition[caption.to(backbone.device)]).noise
        error = (predicted - noise).square().mean(1) * weight.to(noise)
        errors.append(error.sum((1, 2)).cpu() / weight.sum().cpu())
    return torch.cat(errors).unflatten(0, (len(levels), len(captions))).float()


def gain(errors: torch.Tensor) -> float:
    """By which share the noise is predicted better under the second caption than under the first."""
    old, new = errors.mean(0)
    return float(1 - new / old.clamp(min=1e-12))
