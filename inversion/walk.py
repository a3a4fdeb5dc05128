"""How the source and its edits go from noise to photo: the inversion decides, the loop of the edit carries out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from backbones.backbone import Backbone
from backbones.levels import Prediction
from inversion.guidance import guide
from inversion.schedule import make_schedule
from inversion.steps import ddim_step, posterior_deviation
from inversion.trajectory import Trajectory

State = tuple[torch.Tensor, ...]
"""What is carried from step to step, each `(B, C, h, w)`: latents, or whatever takes their place in a method.

The first is what is decoded in the end. Outside an edit's mask each of them is the source's.
"""

Predict = Callable[[torch.Tensor, torch.Tensor], tuple[Prediction, Prediction, Prediction]]
"""`(source, targets) -> (of the source, unconditional, conditional)` at the step's timestep, under the edit's control.

`source` is `(1, C, h, w)`, `targets` are `(N, C, h, w)`.
"""


class Walk(Protocol):
    """The way from noise to photo that belongs to a method of inversion.

    Attributes:
        first: The step that it begins with.
        replays: Whether the source that `predict` is given at step `i` is the trajectory's `latents[i]`, whatever the
            model sees in it.
    """

    first: int
    replays: bool

    def begin(self) -> State:
        """The source's state before the step `first`, one row; the targets start from it too."""
        ...

    def step(self, i: int, source: State, targets: State, predict: Predict) -> tuple[State, State]:
        """Source and targets after step `i`; `predict` may be called more than once."""
        ...


MakeWalk = Callable[[Backbone, Trajectory, bool], Walk]
"""`(backbone, trajectory, exact) -> Walk`, with the trajectory on the model's device."""


class Retrace:
    """The sampler that goes back along the trajectory, which is what most methods need.

    With `exact` the source's latents are the trajectory's at every step; else they are sampled with its caption. What
    the trajectory keeps as `residuals` is added to everyone's latents after every step; with `eta` 1 the step is
    DDPM's, whose own randomness those residuals are.
    """

    def __init__(self, backbone: Backbone, trajectory: Trajectory, exact: bool, *, eta: int = 0) -> None:
        self.first, self.replays = trajectory.first, exact
        self._backbone, self._trajectory, self._exact, self._eta = backbone, trajectory, exact, eta
        self._schedule = make_schedule(backbone, trajectory.steps)

    def begin(self) -> State:
        return (self._trajectory.latents[self.first : self.first + 1],)

    def step(self, i: int, source: State, targets: State, predict: Predict) -> tuple[State, State]:
        of_source, uncond, cond = predict(source[0], targets[0])
        moved = self.move(guide(uncond, cond, self._trajectory.guidance_scale), i)
        return self.follow(i, source, of_source), (moved,)

    def follow(self, i: int, source: State, of_source: Prediction) -> State:
        """The source after step `i`, whose conditional prediction is known."""
        if self._exact:
            return (self._trajectory.latents[i + 1 : i + 2],)
        path = self._trajectory
        uncond = self._backbone.predict(source[0], self._schedule.timesteps[i], path.uncond[i])
        return (self.move(guide(uncond, of_source, path.guidance_of_source), i),)

    def move(self, prediction: Prediction, i: int) -> torch.Tensor:
        """One step of the sampler, and what the trajectory adds to it."""
        levels = self._schedule.levels
        deviation = self._eta * posterior_deviation(levels[i], levels[i + 1]) if self._eta else 0.0
        moved = ddim_step(prediction, levels[i + 1], deviation)
        residuals = self._trajectory.kept.get("residuals")
        return moved if residuals is None else moved + residuals[i]
