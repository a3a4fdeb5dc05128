"""Start a model from the weights of one that has fewer latent channels."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

MOMENTS = ("encoder.conv_out", "quant_conv")  # means and log variances side by side


def positions(name: str, number: int, of: int) -> np.ndarray:
    """Where `number` old channels lie among `of` new ones: first, or first in each half of the moments."""
    if name.startswith(MOMENTS) and number != of:
        return np.concatenate([np.arange(number // 2), of // 2 + np.arange(number // 2)])
    return np.arange(number)


@torch.no_grad()
def carry_over(source: nn.Module, target: nn.Module) -> None:
    """Copy `source`'s weights into `target`, which is the same network with as many or more latent channels.

    A new input channel counts for nothing at first, so that the network goes on from where `source` stood; a new
    output channel starts at random.
    """
    olds = source.state_dict()
    for name, new in target.state_dict().items():
        old = olds[name]
        places = [positions(name, *sizes) for sizes in zip(old.shape, new.shape, strict=True)]
        if new.ndim > 1:
            new[:, np.setdiff1d(np.arange(new.shape[1]), places[1])] = 0.0
        new[np.ix_(*places)] = old
