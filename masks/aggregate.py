"""Attention maps and a word's tokens -> a heat map of where the model sees the word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Attention of one caption over one image, mean over heads and layers.

    Attributes:
        cross: Share of each pixel's attention that goes to each token, `(S, Q, K)` in [0, 1], for `S` noise levels from
            noise to image and `Q = height * width` pixels row by row. Where text and pixels share one softmax, the
            rest of a pixel's attention goes to other pixels.
        pixels: Share of each pixel's attention that goes to each other pixel, mean over the levels, `(Q, Q)`.
        height: Rows of the maps.
        width: Columns of the maps.
    """

    cross: torch.Tensor
    pixels: torch.Tensor
    height: int
    width: int


def word_heat(
    maps: AttentionMaps, positions: Sequence[int], *, step: int | None = None, spread: int = 0
) -> torch.Tensor:
    """Where the model sees the tokens at `positions`, `(height, width)`, not normalised.

    Args:
        maps: From `record_maps` or a recorder.
        positions: Token positions; their attention is added up.
        step: One of the recorded noise levels; None is their mean.
        spread: How many times the heat is carried along the pixels' attention to one another, which fills an
            object that the word's own map only touches (as in Attn2Mask and DiffSeg).
    """
    cross = maps.cross.mean(0) if step is None else maps.cross[step]
    heat = cross[:, list(positions)].sum(-1)
    for _ in range(spread):
        heat = maps.pixels @ heat
    return heat.unflatten(0, (maps.height, maps.width))


def normalize(heat: torch.Tensor) -> torch.Tensor:
    """Stretches a heat map to [0, 1]; a constant one becomes 0."""
    low, high = heat.min(), heat.max()
    return (heat - low) / (high - low).clamp(min=1e-8)
