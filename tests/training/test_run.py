"""A run stops when its minutes are spent and goes on where it stopped."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.processes import in_two_processes
from training.run import (
    Run,
    autocast,
    average_gradients,
    average_of,
    first_alone,
    join_processes,
    norms_in_float32,
)


class Training:
    """One weight that grows by 1 a step."""

    def __init__(self, folder: Path, minutes: float) -> None:
        self.model = nn.Linear(1, 1)
        nn.init.zeros_(self.model.weight)
        self.average = average_of(self.model, 0.5)
        self.run = Run(folder, minutes, {"model": self.model, "average": self.average})

    def step(self, progress: float) -> dict[str, float]:
        assert 0 <= progress < 1
        with torch.no_grad():
            self.model.weight += 1
        self.average.update_parameters(self.model)
        return {"loss": 1.0}

    def go(self, most: int = 10_000) -> None:
        for number in self.run.loop(4, self.step):
            if number >= most:
                break
        self.run.save()


def test_resuming_continues_steps_time_and_weights(tmp_path: Path) -> None:
    first = Training(tmp_path, minutes=1)
    first.go(most=5)
    again = Training(tmp_path, minutes=1)
    assert again.run.steps == 5
    assert again.run.elapsed == pytest.approx(first.run.elapsed)
    assert again.model.weight.item() == 5
    torch.testing.assert_close(again.average.module.weight, first.average.module.weight)
    again.go(most=8)
    assert again.run.steps == 8
    assert again.run.elapsed > first.run.elapsed


def test_it_ends_when_the_minutes_are_spent(tmp_path: Path) -> None:
    training = Training(tmp_path, minutes=0.002)
    training.go()
    assert training.run.progress == 1.0
    spent = Training(tmp_path, minutes=0.002)
    spent.go()
    assert spent.run.steps == training.run.steps


def test_a_checkpoint_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(tmp_path, minutes=1)
    training.go(most=3)

    def fail(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        with pytest.raises(OSError, match="disk full"):
            training.run.save()
    assert Training(tmp_path, minutes=1).run.steps == 3


def test_the_log_is_one_row_a_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(tmp_path, minutes=2)
    clock = iter(range(0, 10_000, 15))
    monkeypatch.setattr("training.run.time.monotonic", lambda: float(next(clock)))
    training.go()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    assert all(row["loss"] == 1.0 and row["samples_per_s"] > 0 for row in rows)


def gradients_of(rank: int, port: int, out: Path) -> None:
    """One of two processes: its gradient, averaged with the other's, and the seconds that both agree on."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    assert join_processes() == rank
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, rank)
    model.weight.grad = torch.tensor([[1.0 + rank]])
    average_gradients(list(model.parameters()))
    with first_alone():
        (out / f"{rank}").write_text(str(len(list(out.iterdir()))))
    run = Run(out / "run", 0.001, {"model": model})
    assert run.leads == (rank == 0)
    for _ in run.loop(1, lambda progress: {"loss": 0.0}):
        pass
    torch.save((model.weight.grad, run.steps), out / f"{rank}.pt")
    torch.distributed.destroy_process_group()  # what `atexit` does for a command


@pytest.mark.slow
def test_two_processes_average_their_gradients_and_stop_together(tmp_path: Path) -> None:
    in_two_processes(gradients_of, tmp_path)
    (first, steps), (second, others) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first.item() == second.item() == 1.5
    assert steps == others
    assert [(tmp_path / f"{rank}").read_text() for rank in (0, 1)] == ["0", "1"]


def test_norms_compute_in_float32_under_autocast() -> None:
    norm, states = nn.GroupNorm(2, 4), torch.randn(2, 4, 8, 8, dtype=torch.bfloat16)
    expected = norm(states.float()).bfloat16()
    norms_in_float32(nn.Sequential(norm))
    with torch.autocast("cpu", torch.bfloat16):
        result = norm(states)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result, expected, atol=0, rtol=0)


def test_the_average_is_of_the_last_steps_at_first_and_of_many_later() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = average_of(model, 0.99)
    kept = []
    for step in range(2000):
        nn.init.constant_(model.weight, step)
        average.update_parameters(model)
        kept.append(average.module.weight.item())
    assert 0.8 * 20 < kept[20] <= 20
    assert 1999 - kept[-1] == pytest.approx(99, rel=0.05)  # an exponential average lags by decay / (1 - decay) steps


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", None])
def test_bfloat16_is_for_processors_that_have_it(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, **({name: True} if name else {})})
    with autocast(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if name else torch.float32)
