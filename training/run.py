"""What every training command shares: device, processes, time budget, average of the weights, checkpoints and log.

Started with `python -m torch.distributed.run --nproc-per-node 2 -m training.denoiser ...`, a command trains in two
processes, each on its own core and with its own batches, that average their gradients at every step. On a machine that
is shared, they wait for each other once a step; the threads of one process would in every layer.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for the network where the processor has it; losses and optimiser stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 itself: a CPU without it takes ten times as long as in float32."""
    if device.type != "cpu":
        return True
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of `model`'s weights, over fewer steps at first, lest it hold what is long left."""

    @torch.no_grad()
    def update(averaged: list[torch.Tensor], current: list[torch.Tensor], number: torch.Tensor) -> None:
        share = max(1 - decay, 9 / (10 + int(number)))
        torch._foreach_lerp_(averaged, current, share)

    return AveragedModel(model, multi_avg_fn=update)


def join_processes() -> int:
    """This process's rank among those that train together, 0 where it trains alone; each keeps to its own CPU core."""
    if "RANK" not in os.environ:
        return 0
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    atexit.register(dist.destroy_process_group)
    rank = dist.get_rank()
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(1)
        os.sched_setaffinity(0, {rank % (os.cpu_count() or 1)})
    return rank


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process runs the block while the others wait; then they do."""
    together = dist.is_initialized()
    if together and dist.get_rank() != 0:
        dist.barrier()
    yield
    if together and dist.get_rank() == 0:
        dist.barrier()


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Over the processes that train together."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = (flat / dist.get_world_size()).split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def norms_in_float32(model: nn.Module) -> None:
    """Let group norms compute in float32 under autocast too: in bfloat16 their gradients are slow on a CPU."""
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.forward = partial(_norm_in_float32, module)


def _norm_in_float32(norm: nn.GroupNorm, hidden_states: torch.Tensor) -> torch.Tensor:
    weight, bias = norm.weight.float(), norm.bias.float()
    return F.group_norm(hidden_states.float(), norm.num_groups, weight, bias, norm.eps).to(hidden_states.dtype)


class Run:
    """A resumable training run in `folder`: stops after `minutes`, saves `state` every `save_every` minutes.

    `progress` in [0, 1] counts the minutes of this run and of those it resumes, so a learning rate that follows
    it falls to its end whatever the machine's speed.
    """

    def __init__(self, folder: Path, minutes: float, state: dict[str, Any], *, save_every: float = 3.0) -> None:
        self.folder, self.minutes, self.state, self.save_every = folder, minutes, state, save_every
        self.steps, self.elapsed = 0, 0.0
        self.leads = not dist.is_initialized() or dist.get_rank() == 0
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
        """Write the checkpoint whole or not at all; of processes that train together, the first does."""
        if not self.leads:
            return
        content = {name: part.state_dict() for name, part in self.state.items()}
        draft = self.folder / "checkpoint.pt.part"
        torch.save({**content, "steps": self.steps, "elapsed": self.elapsed}, draft)
        draft.replace(self.folder / "checkpoint.pt")

    def loop(self, batch_size: int, step: Callable[[float], dict[str, float]]) -> Iterator[int]:
        """Call `step(progress)` until the minutes are spent, yielding the step's number; logs every 20 seconds.

        `batch_size` is one process's.
        """
        batch_size *= dist.get_world_size() if dist.is_initialized() else 1
        last_log, last_save, sums, count = time.monotonic(), time.monotonic(), {}, 0
        start = time.monotonic() - self.elapsed
        with (
            tqdm(desc=self.folder.name, unit="step", disable=None if self.leads else True) as bar,
            (self.folder / "log.jsonl").open("a") if self.leads else nullcontext() as log,
        ):
            while self.progress < 1.0:
                for name, value in step(self.progress).items():
                    sums[name] = sums.get(name, 0.0) + value
                self.steps, count, now = self.steps + 1, count + 1, time.monotonic()
                self.elapsed = self._agreed(now - start)
                bar.update()
                if log and now - last_log > 20:
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

    @staticmethod
    def _agreed(seconds: float) -> float:
        """The first process's, so that all stop after the same step."""
        if not dist.is_initialized():
            return seconds
        told = torch.tensor(seconds, dtype=torch.float64, device=pick_device())
        dist.broadcast(told, 0)
        return float(told)
