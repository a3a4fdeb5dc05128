"""The one transition between noise levels, in either direction."""

from __future__ import annotations

import torch

from backbones.levels import Level, Prediction


def ddim_step(prediction: Prediction, level: Level) -> torch.Tensor:
    """Latents of another noise level, without randomness (Song et al. 2021, equation 12 with sigma 0).

    Towards less noise it denoises, towards more it inverts. Levels may be any pairs: with (1 - t, t) it is the Euler
    step of a rectified flow.

    Args:
        prediction: What the model sees in the latents, wherever they are.
        level: Where to go.

    Returns:
        `(B, C, h, w)`.
    """
    return level.signal * prediction.x0 + level.noise * prediction.noise
