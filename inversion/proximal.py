"""Proximal guidance: what the new caption hardly changes is not changed at all."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.levels import Prediction
from inversion.guidance import guide
from inversion.method import Method
from inversion.negative_prompt import negative_prompt
from inversion.progress import Progress
from inversion.schedule import Schedule, make_schedule
from inversion.settings import InversionSettings
from inversion.trajectory import Inverted, Trajectory
from inversion.walk import Predict, Retrace, State

QUANTILE = 0.4  # published: 0.7 of the source's and the edit's rows together, of which the source's are all 0
PULL = 0.1  # of the way back to the source, where nothing changes,
PULL_BELOW = 0.4  # in the timesteps below this share of the trained ones
REACH = 1  # cells around a change that are not pulled back


def proximal(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
) -> Inverted:
    """Negative-prompt inversion whose edits are guided only where that changes much (Han et al., WACV 2024).

    Arguments are those of every method, see `method.Invert`.
    """
    return negative_prompt(backbone, schedule, latents, condition, settings, progress)


def shrinkage(uncond: Prediction, cond: Prediction, quantile: float = QUANTILE) -> torch.Tensor:
    """What the difference of two predictions is multiplied by to become its soft threshold, `(B, C, h, w)` in [0, 1].

    `prox(d) = sign(d) max(|d| - tau, 0)` (Han et al. 2024), with tau a quantile of each row's `|d|`. As a
    factor it serves the noise and the photo alike, since their differences are multiples of each other.
    """
    size = (cond.noise - uncond.noise).abs()
    tau = size.flatten(1).quantile(quantile, dim=1)[:, None, None, None]
    return torch.where(size > tau, 1 - tau / size.clamp(min=1e-12), torch.zeros_like(size))


class ProximalWalk:
    """The source is retraced; edits are guided by shrunken differences, and late in the run pulled back elsewhere."""

    def __init__(self, backbone: Backbone, trajectory: Trajectory, exact: bool) -> None:
        self.first, self._guidance_scale = trajectory.first, trajectory.guidance_scale
        self._retrace, self.replays = Retrace(backbone, trajectory, exact), exact
        timesteps, trained = make_schedule(backbone, trajectory.steps).timesteps, len(backbone.levels)
        self._pulls = [timestep < PULL_BELOW * trained for timestep in timesteps]

    def begin(self) -> State:
        return self._retrace.begin()

    def step(self, i: int, source: State, targets: State, predict: Predict) -> tuple[State, State]:
        of_source, uncond, cond = predict(source[0], targets[0])
        factor = shrinkage(uncond, cond)
        moved = self._retrace.move(guide(uncond, cond, self._guidance_scale * factor), i)
        (beside,) = followed = self._retrace.follow(i, source, of_source)
        if self._pulls[i]:
            moved = moved - PULL * (moved - beside) * (1 - _spread(factor > 0.5))
        return followed, (moved,)


def _spread(changes: torch.Tensor) -> torch.Tensor:
    """Changes `(B, C, h, w)` bool and the cells around them, as numbers; over half a factor is over twice tau."""
    return F.max_pool2d(changes.float(), 2 * REACH + 1, stride=1, padding=REACH)


METHOD = Method(proximal, ProximalWalk)
