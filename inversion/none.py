"""No inversion: the photo is moved by the difference of what the two captions see in the same noise."""

from __future__ import annotations

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from inversion.guidance import guide
from inversion.method import Method
from inversion.noised import noised_path
from inversion.progress import Progress
from inversion.schedule import Schedule, make_schedule
from inversion.settings import InversionSettings
from inversion.trajectory import Inverted, Trajectory
from inversion.walk import Predict, State

SKIP = 0.34  # the first 17 of 50 steps (Kulikov et al., ICCV 2025, with Stable Diffusion 3)


def none(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
) -> Inverted:
    """A draft without an inversion: the photo with fresh noise at every level (Kulikov et al., ICCV 2025).

    The model is not asked. Another seed is another draft. `exact` changes nothing, since the source stays the photo.

    Arguments are those of every method, see `method.Invert`.
    """
    path = noised_path(schedule, latents, settings.noise_seed)
    return Inverted(
        path,
        backbone.condition([""]).expand(schedule.steps),
        arrived=latents,
        report={"noise_seed": settings.noise_seed, "skip": settings.skip},
    )


class DifferenceWalk:
    """The state is a picture without noise, which starts as the photo and becomes the edit.

    `x <- x + (s' - s)(eps(z + signal (x - x0), new caption) - eps(z, caption))` with `z = signal x0 + noise n` and `s =
    noise / signal`: FlowEdit's step for models that predict noise, to which InfEdit (Xu et al., CVPR 2024) is kin. The
    new caption's noise is guided, the old one's is the conditional prediction alone.
    """

    replays = True

    def __init__(self, backbone: Backbone, trajectory: Trajectory, exact: bool) -> None:
        self._trajectory, self._levels = trajectory, make_schedule(backbone, trajectory.steps).levels
        # Where there is no signal, a difference of noises says nothing of the photo.
        self.first = next(i for i in range(trajectory.first, trajectory.steps + 1) if self._levels[i].signal)

    def begin(self) -> State:
        return (self._trajectory.latents[-1:],)

    def step(self, i: int, source: State, targets: State, predict: Predict) -> tuple[State, State]:
        level, cleaner = self._levels[i], self._levels[i + 1]
        noised = self._trajectory.latents[i : i + 1]
        of_source, uncond, cond = predict(noised, noised + level.signal * (targets[0] - source[0]))
        change = guide(uncond, cond, self._trajectory.guidance_scale).noise - of_source.noise
        return source, (targets[0] + (cleaner.noise / cleaner.signal - level.noise / level.signal) * change,)


METHOD = Method(none, DifferenceWalk, skip=SKIP)
