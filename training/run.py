"""What every training command shares: device, time budget, average of the weights, checkpoints and log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, enabled: bool = True) -> torch.autocast:
    """bfloat16 for the network; losses and optimiser stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of `model`'s weights."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))


class Run:
    """A resumable training run in `folder`: stops after `minutes`, saves `state` every `save_every` minutes.

    `progress` in [0, 1] counts the minutes of this run and of those it resumes, so a learning rate that follows
    it falls to its end whatever the machine's speed.
    """

    def __init__(self, folder: Path, minutes: float, state: dict[str, Any], *, save_every: float = 3.0) -> None:
        self.folder, self.minutes, self.state, self.save_every = folder, minutes, state, save_every
        self.steps, self.elapsed = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "checkpoint.pt").exists():
            saved = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
            self.steps, self.elapsed = saved.pop("steps"), saved.pop("elapsed")
            for name, part in state.items():
                part.load_state_dict(saved[name])

    @property
    def progress(self) -> float:
        return min(self.elapsed / (self.minutes * 60), 1.0)

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        content = {name: part.state_dict() for name, part in self.state.items()}
        draft = self.folder / "checkpoint.pt.part"
        torch.save({**content, "steps": self.steps, "elapsed": self.elapsed}, draft)
        draft.replace(self.folder / "checkpoint.pt")

    def loop(self, batch_size: int, step: Callable[[float], dict[str, float]]) -> Iterator[int]:
        """Call `step(progress)` until the minutes are spent, yielding the step's number; logs every 20 seconds."""
        last_log, last_save, sums, count = time.monotonic(), time.monotonic(), {}, 0
        start = time.monotonic() - self.elapsed
        with (
            tqdm(desc=self.folder.name, unit="step", disable=None) as bar,
            (self.folder / "log.jsonl").open("a") as log,
        ):
            while self.progress < 1.0:
                for name, value in step(self.progress).items():
                    sums[name] = sums.get(name, 0.0) + value
                self.steps, count, now = self.steps + 1, count + 1, time.monotonic()
                self.elapsed = now - start
                bar.update()
                if now - last_log > 20:
                    means = {name: round(value / count, 5) for name, value in sums.items()}
                    rate = round(count * batch_size / (now - last_log), 1)
                    row = {"step": self.steps, "minutes": round(self.elapsed / 60, 2), "samples_per_s": rate, **means}
                    print(json.dumps(row), file=log, flush=True)
                    bar.set_postfix(means)
                    last_log, sums, count = now, {}, 0
                if now - last_save > self.save_every * 60:
                    self.save()
                    last_save = now
                yield self.steps
        self.save()
