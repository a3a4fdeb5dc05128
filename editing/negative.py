"""Plug-and-play's negative prompt: guidance leads away from the photo's caption more and more."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def negative_shares(alphas: Sequence[float | None], sampled: range) -> torch.Tensor | None:
    """The negative caption's share in every edit's unconditional prediction, `(steps, N, 1, 1, 1)` in [0, 1].

    `e = a e_uncond + (1 - a) e_negative`, with `a` falling linearly from alpha at the first step to 0 at the last: the
    schedule `linear` of the code of Tumanyan et al. (CVPR 2023), with alpha 1 for photos and 0.75 for generated images.

    Args:
        alphas: Of each edit; None is no negative caption.
        sampled: The steps that are, up to the schedule's last.

    Returns:
        None where no edit has one.
    """
    if all(alpha is None for alpha in alphas):
        return None
    falling = torch.ones(sampled.stop)
    falling[sampled.start :] = torch.linspace(1, 0, len(sampled)) if len(sampled) > 1 else 0
    shares = [torch.zeros(sampled.stop) if alpha is None else 1 - alpha * falling for alpha in alphas]
    return torch.stack(shares, 1)[..., None, None, None]
