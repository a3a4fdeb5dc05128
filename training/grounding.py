"""Teach words where to look: cross-attention maps pulled towards the object's mask while the denoiser learns.

A model of this size, left alone, spreads a word's attention over the whole frame and reads the caption from its
closing tokens. The penalty here (in the spirit of TokenCompose, Wang et al., CVPR 2024) asks for the opposite: the
object's words and its colour look at the object, the background's words look elsewhere, and the closing and
padding tokens are looked at by nobody, so that changing a word changes only the pixels that the word describes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention

# Share of a pixel's attention that a word of each role should take where it belongs; the rest goes to the start
# token, whose embedding holds nothing of the caption.
SHARE = {"object": 0.45, "color": 0.35, "background": 0.3}


class RecordProbs:
    """Plain cross-attention that appends its probabilities `(B, Q, K)`, mean over the heads, to `maps`."""

    def __init__(self, maps: list[torch.Tensor]) -> None:
        self.maps = maps

    def __call__(
        self, attn: Attention, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: object
    ) -> torch.Tensor:
        query, key, value = (
            projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for projected in (
                attn.to_q(hidden_states),
                attn.to_k(encoder_hidden_states),
                attn.to_v(encoder_hidden_states),
            )
        )
        probs = (query @ key.transpose(-1, -2) * attn.scale).float().softmax(-1)
        self.maps.append(probs.mean(1))
        attended = (probs.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](attended))


@contextmanager
def cross_attention_maps(unet: UNet2DConditionModel) -> Iterator[list[torch.Tensor]]:
    """Fills the yielded list with every cross-attention layer's probabilities, `(B, Q, K)`, mean over the heads."""
    maps: list[torch.Tensor] = []
    found = unet.attn_processors
    recorder = RecordProbs(maps)
    unet.set_attn_processor({name: recorder if ".attn2." in name else own for name, own in found.items()})
    try:
        yield maps
    finally:
        unet.set_attn_processor(found)


def grounding_loss(
    maps: Sequence[torch.Tensor],
    masks: torch.Tensor,
    inside: torch.Tensor,
    outside: torch.Tensor,
    counted: torch.Tensor,
) -> torch.Tensor:
    """Squared distance of the maps from where the words belong, mean over layers, pixels and samples.

    Args:
        maps: Each layer's probabilities `(B, Q, K)`, the queries those of a square.
        masks: The object's share of each cell `(B, 1, h, w)` in [0, 1].
        inside: Share that each token should take inside the object `(B, K)`.
        outside: The same outside it.
        counted: 1 for the tokens that the penalty looks at, 0 for the others `(B, K)`.
    """
    losses = []
    for probs in maps:
        cells = F.adaptive_avg_pool2d(masks, math.isqrt(probs.shape[1])).flatten(2).transpose(1, 2)  # (B, Q, 1)
        target = cells * inside[:, None] + (1 - cells) * outside[:, None]
        losses.append(((probs - target).square() * counted[:, None]).sum(-1).mean())
    return torch.stack(losses).mean()
