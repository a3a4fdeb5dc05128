"""The finest number format that a device computes in."""

from __future__ import annotations

import torch

WITHOUT_FLOAT64 = ("mps",)  # Apple's GPUs


def finest(device: torch.device) -> torch.dtype:
    """float64 where the device has it, else float32."""
    return torch.float32 if device.type in WITHOUT_FLOAT64 else torch.float64


def on_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device, in no finer a format than the device has."""
    coarsened = tensor.to(finest(device)) if tensor.dtype == torch.float64 else tensor
    return coarsened.to(device)
