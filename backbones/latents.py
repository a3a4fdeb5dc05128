"""Pixels to latents and back, with the scaling that the model's configuration gives."""

from __future__ import annotations

import torch

from backbones.backbone import Backbone, check_finite


@torch.no_grad()
def encode(backbone: Backbone, pixels: torch.Tensor) -> torch.Tensor:
    """Pixels `(B, 3, H, W)` in [-1, 1] to latents `(B, C, h, w)` float32: the posterior's mean, scaled."""
    pixels = pixels.to(backbone.device, torch.float32, memory_format=torch.channels_last)
    latents = backbone.vae.encode(pixels).latent_dist.mean * backbone.vae.config.scaling_factor
    return check_finite(latents.contiguous(), "latents")


@torch.no_grad()
def decode(backbone: Backbone, latents: torch.Tensor) -> torch.Tensor:
    """Latents `(B, C, h, w)` to pixels `(B, 3, H, W)` float32 in [-1, 1] on the CPU."""
    latents = latents.float() / backbone.vae.config.scaling_factor
    pixels = backbone.vae.decode(latents.to(memory_format=torch.channels_last)).sample
    return check_finite(pixels, "pixels").clamp(-1, 1).contiguous().cpu()
