"""The timesteps that a run visits and the noise levels between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.levels import Level


@dataclass(frozen=True)
class Schedule:
    """`steps` transitions between `steps + 1` noise levels, from noise to photo.

    Step `i` goes from level `i` to level `i + 1` while sampling and back while inverting; either way the noise is
    predicted at `timesteps[i]`.

    Attributes:
        timesteps: Of the denoising steps, falling, `steps` of them.
        levels: From the most noise to the least, `steps + 1` of them; the last stands for the photo itself.
        first: The step that sampling begins with.
    """

    timesteps: tuple[int, ...]
    levels: tuple[Level, ...]
    first: int = 0

    @property
    def steps(self) -> int:
        return len(self.timesteps)

    @property
    def sampled(self) -> range:
        """The steps that sampling takes."""
        return range(self.first, self.steps)

    @property
    def left_out(self) -> Schedule:
        """What comes before those."""
        return Schedule(self.timesteps[: self.first], self.levels[: self.first + 1])


def make_schedule(backbone: Backbone, steps: int, first: int = 0) -> Schedule:
    """The schedule that diffusers' DDIMScheduler follows under the model's configuration, sampled from `first` on.

    Of trailing timesteps each step ends at the level that the next one is told of, where diffusers ends `T // steps`
    below its own timestep. The last step of a rectified flow ends at the photo, as in FlowMatchEulerDiscreteScheduler.

    Raises:
        EditRealError: `steps` is below 1 or more than there are training timesteps.
    """
    trained = backbone.levels
    most = len(trained) - (1 if trained.steps_offset and trained.timestep_spacing == "leading" else 0)
    if not 1 <= steps <= most:
        raise EditRealError(f"expected between 1 and {most} steps, got {steps}")
    stride = len(trained) // steps
    if trained.timestep_spacing == "leading":
        timesteps = [index * stride + trained.steps_offset for index in reversed(range(steps))]
    else:
        timesteps = trailing_timesteps(len(trained), steps)
    # The last step lands `stride` before its timestep; where that is before the first one, at the photo. A flow's own
    # sampler never stops at its first timestep, where there still is noise.
    landing = timesteps[-1] - stride
    at_photo = landing < 0 or trained.prediction_type == "flow"
    last = trained.final if at_photo else trained.at(landing)
    return Schedule(tuple(timesteps), (*(trained.at(timestep) for timestep in timesteps), last), first)


def trailing_timesteps(trained: int, steps: int) -> list[int]:
    """Evenly spaced from the noisiest of `trained` on, by NumPy as in diffusers: torch rounds other halves up."""
    spaced = np.arange(trained, 0, -trained / steps).round()
    return [int(value) - 1 for value in spaced][:steps]
