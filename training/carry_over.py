"""Start a model from the weights of one that has fewer latent channels."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from backbones.errors import EditRealError

MOMENTS = ("encoder.conv_out", "quant_conv")  # means and log variances side by side
LATENT_LAYERS = ("conv_in", "conv_out", "quant_conv", "post_quant_conv")  # whose widths follow the latent channels


@torch.no_grad()
def carry_over(source: nn.Module, target: nn.Module) -> None:
    """Copy `source`'s weights into `target`, which is the same network with as many or more latent channels.

    A new input channel counts for nothing at first, so that the network goes on from where `source` stood; a new
    output channel starts at random.

    Raises:
        EditRealError: The networks differ in more than that.
    """
    olds, news = source.state_dict(), target.state_dict()
    differing = sorted(set(olds) ^ set(news)) or [name for name in news if not _fits(name, olds[name], news[name])]
    if differing:
        raise EditRealError(
            "expected weights of the same network with as many latent channels or fewer, got others in "
            f"{differing[0]}; train from random weights"
        )
    for name, new in news.items():
        old = olds[name].to(new)
        places = [_positions(name, *sizes) for sizes in zip(old.shape, new.shape, strict=True)]
        if new.ndim > 1:
            new[:, np.setdiff1d(np.arange(new.shape[1]), places[1])] = 0.0
        new[np.ix_(*places)] = old


def _fits(name: str, old: torch.Tensor, new: torch.Tensor) -> bool:
    if old.shape == new.shape:
        return True
    of_latents = name.split(".")[-2] in LATENT_LAYERS and old.ndim == new.ndim
    return of_latents and all(a <= b for a, b in zip(old.shape, new.shape, strict=True))


def _positions(name: str, number: int, of: int) -> np.ndarray:
    """Where `number` old channels lie among `of` new ones: first, or first in each half of the moments."""
    if name.startswith(MOMENTS) and number != of:
        return np.concatenate([np.arange(number // 2), of // 2 + np.arange(number // 2)])
    return np.arange(number)
