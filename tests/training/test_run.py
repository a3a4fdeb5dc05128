"""A run stops when its minutes are spent and goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from training.run import Run, average_of


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
