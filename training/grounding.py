"""Teach words where to look: cross-attention maps pulled towards the object's mask while the denoiser learns.

A model of this size, left alone, spreads a word's attention over the whole frame and reads the caption from its
closing tokens. The penalty here (in the spirit of TokenCompose, Wang et al., CVPR 2024) asks for the opposite: the
object's words and its colour look at the object, the background's words look elsewhere, and the closing and
padding tokens are looked at by nobody, so that changing a word changes only the pixels that the word describes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel

from backbones.attention import AttentionSite, attention_sites, controlled_attention

# Share of a pixel's attention that a word of each role should take where it belongs; the rest goes to the start
# token, whose embedding holds nothing of the caption.
SHARE = {"object": 0.45, "color": 0.35, "background": 0.3}


@contextmanager
def cross_attention_maps(unet: UNet2DConditionModel, side: int) -> Iterator[list[tuple[AttentionSite, torch.Tensor]]]:
    """Fills the yielded list with every cross-attention layer's probabilities, `(B, Q, K)`, mean over the heads."""
    maps: list[tuple[AttentionSite, torch.Tensor]] = []

    def record(probs: torch.Tensor, site: AttentionSite) -> torch.Tensor:
        maps.append((site, probs.mean(1)))
        return probs

    sites = [site for site in attention_sites(unet, side, side) if site.kind == "cross"]
    with controlled_attention(unet, sites, record):
        yield maps


def grounding_loss(
    maps: Sequence[tuple[AttentionSite, torch.Tensor]],
    masks: torch.Tensor,
    inside: torch.Tensor,
    outside: torch.Tensor,
    counted: torch.Tensor,
) -> torch.Tensor:
    """Squared distance of the maps from where the words belong, mean over layers, pixels and samples.

    Args:
        maps: Each layer's probabilities `(B, Q, K)`.
        masks: The object's share of each cell `(B, 1, h, w)` in [0, 1].
        inside: Share that each token should take inside the object `(B, K)`.
        outside: The same outside it.
        counted: 1 for the tokens that the penalty looks at, 0 for the others `(B, K)`.
    """
    losses = []
    for site, probs in maps:
        cells = F.adaptive_avg_pool2d(masks, (site.height, site.width)).flatten(2).transpose(1, 2)  # (B, Q, 1)
        target = cells * inside[:, None] + (1 - cells) * outside[:, None]
        losses.append(((probs - target).square() * counted[:, None]).sum(-1).mean())
    return torch.stack(losses).mean()
