"""How much memory is free, and whether a model's networks fit into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import psutil
import torch
from torch import nn

if TYPE_CHECKING:
    from backbones.backbone import Backbone

GIB = 2**30
SHARE_OF_BATCH = 0.5  # of the memory that is free, that a batch may take
SHARE_OF_FREE = 0.9  # of a card's free memory, that weights and what is computed may take together
ROWS_AT_ONCE = 10  # of a batch, whose activations the work with a model comes to, null-text's gradients included

Stay = Literal["stays", "visits", "layers"]
"""Where a network is: always on the device; there while it is asked something; or there layer by layer as it runs."""


def free_memory(device: torch.device) -> int:
    """Bytes that may still be taken, on a CUDA device there, else of the machine's memory."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for what comes next
        return torch.cuda.mem_get_info(device)[0] + kept
    return psutil.virtual_memory().available


def rows_that_fit(backbone: Backbone, height: int, width: int) -> float:
    """An estimate of how many rows of latents of `height` x `width` the denoiser may take at once."""
    row = backbone.activations(height, width) * backbone.dtype.itemsize
    return SHARE_OF_BATCH * free_memory(backbone.device) / row


def plan_stays(networks: Mapping[str, nn.Module], free: int, working: int) -> dict[str, Stay]:
    """Which networks stay on a device with `free` bytes: the first before all others, which may take turns.

    Args:
        networks: The one that is asked most often comes first.
        free: In bytes.
        working: What is needed of them beside the weights.
    """
    sizes = {name: weight_bytes(network) for name, network in networks.items()}
    left = SHARE_OF_FREE * free - working
    if sum(sizes.values()) <= left:
        return dict.fromkeys(sizes, "stays")
    first, *others = sizes
    stays: dict[str, Stay] = {first: "stays" if sizes[first] <= left else "layers"}
    left -= sizes[first] if stays[first] == "stays" else 0
    return {**stays, **{name: "visits" if sizes[name] <= left else "layers" for name in others}}


def tell_stays(stays: Mapping[str, Stay], networks: Mapping[str, nn.Module], free: int) -> str | None:
    """The plan in one line, or None where everything stays."""
    told = {
        "visits": "wait in the machine's memory for their turn",
        "layers": "come to the card layer by layer, which is slow",
    }
    moved = {how: [name for name, stay in stays.items() if stay == how] for how in told if how in set(stays.values())}
    if not moved:
        return None
    size = sum(weight_bytes(network) for network in networks.values())
    parts = " and ".join(f"{', '.join(names)} {told[how]}" for how, names in moved.items())
    return f"the model's {size / GIB:.1f} GiB do not fit on the device, where {free / GIB:.1f} GiB are free: {parts}"


def weight_bytes(network: Any) -> int:
    """Bytes of all weights of a network."""
    return sum(weight.nbytes for weight in network.parameters())
