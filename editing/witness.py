"""What the model itself says of an edit: whether it sees the new caption in the result rather than the old one.

A diffusion model predicts a picture's noise better under the caption that is right (Li et al., "Your Diffusion Model
is Secretly a Zero-Shot Classifier", ICCV 2023). Here the errors are weighted by the mask, since the rest of the frame
is the photo's own, and photo and result get the same noise, so that their difference is the edit's.
"""

from __future__ import annotations

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
    pictures: torch.Tensor,
    captions: tuple[Caption, Caption],
    weight: torch.Tensor,
    *,
    levels: tuple[float, ...] = LEVELS,
    seed: int = SEED,
) -> torch.Tensor:
    """How badly the model predicts the noise of pictures under two captions: the lower, the better the caption.

    Args:
        backbone: The model.
        pictures: Latents `(P, C, h, w)`.
        captions: Both are asked of every picture.
        weight: How much each cell counts, `(h, w)`, not all zeros.
        levels: `S` shares of the training timesteps, from 0 (the picture) to 1 (noise).
        seed: Of the noise; a level's is the same for all rows.

    Returns:
        Mean squared errors `(S, P, 2)` float32 on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    timesteps = torch.tensor([round(share * (len(backbone.levels) - 1)) for share in levels])
    noises = torch.stack([torch.randn(pictures.shape[1:], generator=generator) for _ in levels]).to(pictures)
    at = torch.arange(len(levels)).repeat_interleave(2 * len(pictures))
    of = torch.arange(len(pictures)).repeat_interleave(2).repeat(len(levels))
    under = torch.arange(2).repeat(len(levels) * len(pictures))
    condition = backbone.condition(captions)
    height, width = pictures.shape[-2:]
    at_once = max(1, int(min(ROWS_AT_ONCE, rows_that_fit(backbone, height, width))))
    errors = []
    for level, picture, caption in zip(at.split(at_once), of.split(at_once), under.split(at_once), strict=True):
        timestep = timesteps[level].to(backbone.device)
        trained, noise = backbone.levels.at(timestep), noises[level]
        noisy = trained.signal * pictures[picture] + trained.noise * noise
        predicted = backbone.predict(noisy, timestep, condition[caption.to(backbone.device)]).noise
        error = (predicted - noise).square().mean(1) * weight.to(noise)
        errors.append(error.sum((1, 2)).cpu() / weight.sum().cpu())
    return torch.cat(errors).unflatten(0, (len(levels), len(pictures), 2)).float()


def gains(errors: torch.Tensor) -> list[float]:
    """By which share each picture's noise is predicted better under the second caption than under the first, `(P,)`."""
    old, new = errors.mean(0).unbind(-1)
    return (1 - new / old.clamp(min=1e-12)).tolist()
