"""The one transition between noise levels, in either direction."""

from __future__ import annotations

import torch

from backbones.levels import Level, Prediction


def ddim_step(prediction: Prediction, level: Level, deviation: float = 0.0) -> torch.Tensor:
    """Latents of another noise level, before any fresh noise is added (Song et al. 2021, equation 12).

    Towards less noise it denoises, towards more it inverts. Levels may be any pairs: with (1 - t, t) it is the Euler
    step of a rectified flow.

    Args:
        prediction: What the model sees in the latents, wherever they are.
        level: Where to go.
        deviation: Of the fresh noise that is to be added to what this returns, the paper's sigma; 0 is DDIM.

    Returns:
        `(B, C, h, w)`.
    """
    direction = (level.noise**2 - deviation**2) ** 0.5 if deviation else level.noise
    return level.signal * prediction.x0 + direction * prediction.noise


def posterior_deviation(noisier: Level, cleaner: Level) -> float:
    """The standard deviation of DDPM's step between two levels, given the photo (Ho et al. 2020, equation 7).

    It is Song et al.'s sigma with eta 1 (2021, equation 16), written for pairs of signal and noise.
    """
    kept = noisier.signal / cleaner.signal * cleaner.noise / noisier.noise
    return float(cleaner.noise * max(0.0, 1 - kept**2) ** 0.5)
