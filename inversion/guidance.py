"""Classifier-free guidance."""

from __future__ import annotations

import torch

from backbones.levels import Prediction


def guide(uncond: Prediction, cond: Prediction, guidance_scale: float | torch.Tensor) -> Prediction:
    """The guided prediction (Ho and Salimans 2022, equation 6, in Stable Diffusion's scale: 1 is no guidance).

    Args:
        uncond: Of the unconditional rows.
        cond: Of the conditional rows, for the same latents.
        guidance_scale: How far to go from the unconditional towards the conditional prediction; a number, or one for
            each of the latents' numbers, `(B, C, h, w)`.
    """
    x0, noise = (one + guidance_scale * (other - one) for one, other in zip(uncond, cond, strict=True))
    return Prediction(x0, noise)
