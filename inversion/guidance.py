"""Classifier-free guidance."""

from __future__ import annotations

import torch


def guide(noise_pred_uncond: torch.Tensor, noise_pred_cond: torch.Tensor, guidance_scale: float) -> torch.Tensor:
    """The guided noise (Ho and Salimans 2022, equation 6, in Stable Diffusion's scale: 1 is no guidance).

    Args:
        noise_pred_uncond: `(B, C, h, w)`.
        noise_pred_cond: `(B, C, h, w)`.
        guidance_scale: How far to go from the unconditional towards the conditional prediction.
    """
    return noise_pred_uncond + guidance_scale * (noise_pred_cond - noise_pred_uncond)
