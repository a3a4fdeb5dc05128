"""NaN and infinity are told where they first show, with what to do about them."""

from __future__ import annotations

import torch

from backbones.errors import EditRealError


def check_finite(tensor: torch.Tensor, what: str) -> torch.Tensor:
    """`tensor` itself, or an error where it holds NaN or infinity.

    Raises:
        EditRealError: With the remedy, which is nearly always a wider number format.
    """
    if not torch.isfinite(tensor).all():
        raise EditRealError(
            f"expected finite {what}, got NaN or infinity: the network overflowed in its number format; "
            "load it with dtype=torch.float32 (or bfloat16 on a GPU)"
        )
    return tensor
