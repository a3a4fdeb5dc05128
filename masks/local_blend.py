"""Local blend: outside the mask, the edited latents are the source's."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def blend_latents(
    latents: torch.Tensor, source_latents: torch.Tensor, soft: torch.Tensor, cells: torch.Tensor | None = None
) -> torch.Tensor:
    """`z_src + m (z - z_src)` (Hertz et al. 2023, section 4, "local editing").

    Args:
        latents: Edited, `(B, C, h, w)`.
        source_latents: `(1, C, h, w)` at the same noise level.
        soft: A mask of any resolution, `(h', w')` or one for each edit `(B, h', w')`, in [0, 1], boundary at 0.5.
        cells: Latent cells that are edited whatever the mask says, `(h, w)` bool.
    """
    soft = soft.expand(len(latents), *soft.shape[-2:])[:, None].to(latents)
    mask = F.interpolate(soft, latents.shape[-2:], mode="bilinear", align_corners=False) > 0.5
    if cells is not None:
        mask = mask | cells
    return torch.where(mask, latents, source_latents)
