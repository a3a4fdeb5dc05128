"""Muon for weights that are matrices, AdamW for the rest (Jordan et al., 2024; step sizes after Liu et al., 2025).

A matrix moves along the nearest orthogonal matrix of its momentum: every direction that the gradients agree on gets a
step of the same length, where Adam lets a few strong ones take most of it. A convolution counts as the matrix from
its patches to its output channels. Processes that train together share the matrices among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration; singular values end between 0.7 and 1.2
ITERATIONS = 5
UPDATE_RMS = 0.2  # what AdamW's updates have, so that one learning rate serves both


def matrices_and_others(models: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The weights of hidden layers; and embeddings, biases, norms and what reads or writes latents."""
    embedded = {weight for module in models.modules() if isinstance(module, nn.Embedding) for weight in [module.weight]}
    matrices, others = [], []
    for name, parameter in models.named_parameters():
        outer = "conv_in" in name or "conv_out" in name
        (others if parameter.ndim < 2 or parameter in embedded or outer else matrices).append(parameter)
    return matrices, others


def orthogonalize(matrix: torch.Tensor) -> torch.Tensor:
    """The nearest (semi-)orthogonal matrix to `(m, n)`, roughly: its singular values all become about 1.

    Each round multiplies the matrix by `a + b G + c G^2` of its Gram matrix `G`. These commute, so that the rounds are
    made on Gram matrices alone, which are small, and the matrix itself is multiplied once.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    a, b, c = COEFFICIENTS
    x = wide / (wide.norm() + 1e-7)
    gram, product = x @ x.T, None
    for _ in range(ITERATIONS):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        product = factor if product is None else factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    return x if wide is matrix else x.T


def shared_out(parameters: Sequence[nn.Parameter], number: int) -> list[int]:
    """Which of `number` processes orthogonalizes each matrix, so that all have about as much to do."""
    costs = [parameter.numel() * min(parameter.flatten(1).shape) for parameter in parameters]
    loads, owners = [0] * number, [0] * len(costs)
    for index in sorted(range(len(costs)), key=lambda index: -costs[index]):
        owners[index] = loads.index(min(loads))
        loads[owners[index]] += costs[index]
    return owners


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalized; weight decay apart from the gradient."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, *, momentum: float = 0.95, weight_decay: float = 1e-2
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter, update in zip(parameters, self._updates(parameters, group["momentum"]), strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.view_as(parameter), alpha=-group["lr"])

    def _updates(self, parameters: list[nn.Parameter], momentum: float) -> list[torch.Tensor]:
        together = dist.is_initialized()
        owners = shared_out(parameters, dist.get_world_size() if together else 1)
        updates = []
        for parameter, owner in zip(parameters, owners, strict=True):
            buffer = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter.grad))
            buffer.lerp_(parameter.grad, 1 - momentum)
            if together and owner != dist.get_rank():
                updates.append(parameter.new_zeros(parameter.numel()))
                continue
            matrix = parameter.grad.lerp(buffer, momentum).flatten(1)
            updates.append(orthogonalize(matrix).mul(UPDATE_RMS * max(matrix.shape) ** 0.5).flatten())
        if not together:
            return updates
        flat = torch.cat(updates)
        dist.all_reduce(flat)
        return list(flat.split([update.numel() for update in updates]))
