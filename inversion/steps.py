"""The DDIM transition: from one noise level to another, either direction."""

from __future__ import annotations

import torch


def ddim_step(
    latents: torch.Tensor, noise_pred: torch.Tensor, alpha_prod_from: float, alpha_prod_to: float
) -> torch.Tensor:
    """Moves latents between two noise levels without randomness (Song et al. 2021, equation 12 with sigma 0).

    Towards a larger alpha product it denoises; towards a smaller one it inverts.

    Args:
        latents: `(B, C, h, w)` at `alpha_prod_from`.
        noise_pred: The noise in them, same shape.
        alpha_prod_from: In (0, 1].
        alpha_prod_to: In (0, 1].

    Returns:
        `(B, C, h, w)` at `alpha_prod_to`.
    """
    pred_original_sample = (latents - (1 - alpha_prod_from) ** 0.5 * noise_pred) / alpha_prod_from**0.5
    return alpha_prod_to**0.5 * pred_original_sample + (1 - alpha_prod_to) ** 0.5 * noise_pred
