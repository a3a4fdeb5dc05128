"""What tells one set of weights from another."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

SAMPLED = 1024  # numbers of each weight that are read, evenly spread


def update_with_weights(digest: Any, network: nn.Module) -> None:
    """Adds to a hash some bytes of every weight, and how far adapters such as LoRAs take part.

    Args:
        digest: From `hashlib`.
        network: On any device, also one whose layers wait in the machine's memory.
    """
    names, shapes, parts = [], [], []
    for name, weight in weights_of(network).items():
        values = spread(weight.detach()).contiguous().view(torch.uint8)
        names.append(name)
        shapes.append(tuple(weight.shape))
        parts.append(values)
    # One copy a network: each copy from a card is waited for.
    joined = torch.cat([part.to(parts[0].device) for part in parts]).cpu()
    for name, shape, values in zip(names, shapes, joined.split([len(part) for part in parts]), strict=True):
        digest.update(f"{name} {shape}".encode() + values.numpy().tobytes())
    for name, module in network.named_modules():
        if hasattr(module, "scaling") and hasattr(module, "active_adapters"):  # a layer of peft's
            scaling = {key: float(value) for key, value in sorted(module.scaling.items())}
            told = (scaling, list(module.active_adapters), list(module.merged_adapters), bool(module.disable_adapters))
            digest.update(f"{name} {told}".encode())


def spread(weight: torch.Tensor) -> torch.Tensor:
    """Some of a weight's numbers, evenly spread over them row by row; no copy is made of the rest."""
    stride = max(1, weight.numel() // SAMPLED)
    if weight.is_contiguous():
        return weight.view(-1)[::stride]
    places = torch.arange(0, weight.numel(), stride, device=weight.device)
    return weight[torch.unravel_index(places, weight.shape)]


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """The weights by name; of a network that comes to its device layer by layer, those that wait for it."""
    if not any(hasattr(module, "_hf_hook") for module in network.modules()):
        return dict(network.state_dict())
    from accelerate.utils.modeling import get_state_dict_offloaded_model

    return dict(get_state_dict_offloaded_model(network))
