"""Pixels to latents and back through an autoencoder, with the scaling that its configuration gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from backbones.finite import check_finite

if TYPE_CHECKING:
    from backbones.backbone import Backbone


@torch.no_grad()
def encode(backbone: Backbone, pixels: torch.Tensor) -> torch.Tensor:
    """Pixels `(B, 3, H, W)` in [-1, 1] to latents `(B, C, h, w)` float32: the posterior's mean, scaled."""
    pixels = pixels.to(backbone.device, torch.float32, memory_format=torch.channels_last)
    latents = backbone.vae.encode(pixels).latent_dist.mean * backbone.vae.config.scaling_factor
    return check_finite(latents.contiguous(), "latents")


@torch.no_grad()
def decode(backbone: Backbone, latents: torch.Tensor) -> torch.Tensor:
    """Latents `(B, C, h, w)` to pixels `(B, 3, H, W)` float32 in [-1, 1] on the CPU.

    One row after another: a decoder at full resolution holds more memory than all else that an edit does.
    """
    latents = latents.float() / backbone.vae.config.scaling_factor
    rows = [backbone.vae.decode(row.to(memory_format=torch.channels_last)).sample.cpu() for row in latents.split(1)]
    return check_finite(torch.cat(rows), "pixels").clamp(-1, 1).contiguous()
