"""Pixels to latents and back through an autoencoder, with the scaling that its configuration gives."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from backbones.finite import check_finite
from backbones.memory import GIB, SHARE_OF_FREE, free_memory

if TYPE_CHECKING:
    from backbones.backbone import Backbone

MAPS_AT_ONCE = 6  # full-size feature maps that an autoencoder holds while it runs, of its first width
TILE = 512  # pixels of a tile's side; diffusers blends neighbouring tiles over a quarter of it


@torch.no_grad()
def encode(backbone: Backbone, pixels: torch.Tensor) -> torch.Tensor:
    """Pixels `(B, 3, H, W)` in [-1, 1] to latents `(B, C, h, w)` float32: the posterior's mean, shifted and scaled."""
    pixels = pixels.to(backbone.device, torch.float32, memory_format=torch.channels_last)
    config = backbone.vae.config
    with tiled_if_large(backbone, *pixels.shape[-2:]):
        mean = backbone.vae.encode(pixels).latent_dist.mean
    latents = (mean - _shift(config)) * config.scaling_factor
    return check_finite(latents.contiguous(), "latents")


@torch.no_grad()
def decode(backbone: Backbone, latents: torch.Tensor) -> torch.Tensor:
    """Latents `(B, C, h, w)` to pixels `(B, 3, H, W)` float32 in [-1, 1] on the CPU.

    One row after another: a decoder at full resolution holds more memory than all else that an edit does.
    """
    config = backbone.vae.config
    latents = latents.float() / config.scaling_factor + _shift(config)
    with tiled_if_large(backbone, *(side * backbone.vae_factor for side in latents.shape[-2:])):
        rows = [backbone.vae.decode(row.to(memory_format=torch.channels_last)).sample.cpu() for row in latents.split(1)]
    return check_finite(torch.cat(rows), "pixels").clamp(-1, 1).contiguous()


def factor_of(vae: Any) -> int:
    """Pixels a side of one latent cell."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))


@contextmanager
def tiled_if_large(backbone: Backbone, height: int, width: int) -> Iterator[None]:
    """Lets the autoencoder work tile by tile where a whole picture of `height` x `width` pixels exceeds free memory.

    Tiles make faint differences, since the autoencoder looks at each alone, so it is done only where it must be.
    """
    vae = backbone.vae
    needed = MAPS_AT_ONCE * vae.config.block_out_channels[0] * height * width * torch.float32.itemsize
    free = free_memory(backbone.device) if backbone.device.type != "meta" else needed / SHARE_OF_FREE
    if needed <= SHARE_OF_FREE * free or max(height, width) <= TILE:
        yield
        return
    warnings.warn(
        f"a picture of {width}x{height} pixels would take {needed / GIB:.1f} GiB in the autoencoder and "
        f"{free / GIB:.1f} GiB are free, so it works tile by tile",
        stacklevel=4,
    )
    found = vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size
    vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size = True, TILE, TILE // backbone.vae_factor
    try:
        yield
    finally:
        vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size = found


def _shift(config: Any) -> float:
    """What is taken off the latents before they are scaled; 0 in most models."""
    return float(getattr(config, "shift_factor", None) or 0.0)
