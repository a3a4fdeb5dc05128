"""Muon's steps: every direction as far as the next, and the same whoever computes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.processes import in_two_processes
from training.muon import Muon, matrices_and_others, orthogonalize, shared_out


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (24, 24)])
def test_singular_values_become_about_one_in_the_same_directions(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(shape[0], min(shape), generator=generator))
    right, _ = torch.linalg.qr(torch.randn(shape[1], min(shape), generator=generator))
    values = torch.logspace(0, -1.5, min(shape))
    found = orthogonalize(left * values @ right.T)
    torch.testing.assert_close(left.T @ found @ right, torch.diag((left.T @ found @ right).diag()), atol=1e-4, rtol=0)
    assert ((left.T @ found @ right).diag() - 1).abs().max() < 0.35


def test_the_processes_have_about_as_much_to_do() -> None:
    matrices = [nn.Parameter(torch.zeros(8, width)) for width in (100, 60, 40, 30, 20, 10)]
    owners = shared_out(matrices, 2)
    loads = [sum(m.numel() for m, owner in zip(matrices, owners, strict=True) if owner == rank) for rank in (0, 1)]
    assert max(loads) <= 1.2 * min(loads)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv_in, self.hidden, self.words = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 6, 3), nn.Embedding(5, 4)


def test_hidden_weights_are_matrices_and_the_rest_is_not() -> None:
    model = Model()
    matrices, others = matrices_and_others(model)
    assert len(matrices) == 1 and matrices[0] is model.hidden.weight
    assert {id(one) for one in others} == {id(one) for one in model.parameters()} - {id(model.hidden.weight)}


def test_weak_directions_are_learned_along_with_strong_ones() -> None:
    """Gradients of a badly scaled error differ by a factor of a thousand; plain descent leaves the weak ones behind."""
    torch.manual_seed(0)
    target, scales = torch.randn(8, 12), torch.logspace(0, -1.5, 12)

    def left_over(make: Callable[[nn.Parameter], torch.optim.Optimizer]) -> float:
        weight = nn.Parameter(torch.zeros(8, 12))
        optimizer = make(weight)
        rate = optimizer.param_groups[0]["lr"]
        for step in range(200):
            optimizer.param_groups[0]["lr"] = rate * (1 - step / 200)
            optimizer.zero_grad()
            (((weight - target) * scales).square().sum() / 2).backward()
            optimizer.step()
        return float((weight.detach() - target).square().mean() / target.square().mean())

    muon = left_over(lambda weight: Muon([weight], lr=0.1, weight_decay=0))
    descent = left_over(lambda weight: torch.optim.SGD([weight], lr=1.0))
    assert muon < 0.5 * descent


def step_of(rank: int, port: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save(stepped(), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def stepped() -> list[torch.Tensor]:
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(shape)) for shape in ((6, 4, 3, 3), (8, 5), (5, 5))]
    optimizer = Muon(weights, lr=0.01)
    for _ in range(2):
        for weight in weights:
            weight.grad = torch.randn(weight.shape)
        optimizer.step()
    return [weight.detach() for weight in weights]


@pytest.mark.slow
def test_two_processes_step_as_one_does(tmp_path: Path) -> None:
    in_two_processes(step_of, tmp_path)
    alone = stepped()
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), alone)
