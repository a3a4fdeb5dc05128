"""The photo with noise of its own at every level, as in training."""

from __future__ import annotations

import torch

from inversion.schedule import Schedule


def noised_path(schedule: Schedule, latents: torch.Tensor, seed: int) -> torch.Tensor:
    """`signal * x0 + noise * n` with an independent `n` at every level, and the photo at the end.

    Args:
        schedule: From `make_schedule`.
        latents: The photo's, `(1, C, h, w)`.
        seed: Of the noises.

    Returns:
        `(steps + 1, C, h, w)`, from noise to photo.
    """
    shape = (schedule.steps, *latents.shape[1:])
    noises = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(latents)
    noisy = [
        level.signal * latents + level.noise * noise
        for level, noise in zip(schedule.levels[:-1], noises.split(1), strict=True)
    ]
    return torch.cat([*noisy, latents])
