"""The timesteps that a run visits and the alpha products between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError


@dataclass(frozen=True)
class Schedule:
    """`steps` transitions between `steps + 1` noise levels, from noise to photo.

    Step `i` goes from level `i` to level `i + 1` while sampling and back while inverting; either way the noise is
    predicted at `timesteps[i]`.

    Attributes:
        timesteps: Of the denoising steps, falling, `steps` of them.
        alpha_prods: Of the levels, rising, `steps + 1` of them; the last stands for the photo itself.
    """

    timesteps: tuple[int, ...]
    alpha_prods: tuple[float, ...]

    @property
    def steps(self) -> int:
        return len(self.timesteps)


def make_schedule(backbone: Backbone, steps: int) -> Schedule:
    """The schedule that diffusers' DDIMScheduler follows under the model's configuration.

    Raises:
        EditRealError: `steps` is below 1 or more than there are training timesteps.
    """
    trained = len(backbone.alphas_cumprod)
    most = trained - (1 if backbone.steps_offset and backbone.timestep_spacing == "leading" else 0)
    if not 1 <= steps <= most:
        raise EditRealError(f"expected between 1 and {most} steps, got {steps}")
    stride = trained // steps
    if backbone.timestep_spacing == "leading":
        timesteps = [index * stride + backbone.steps_offset for index in reversed(range(steps))]
    else:
        timesteps = [int(value) - 1 for value in torch.arange(trained, 0, -trained / steps).round()][:steps]
    alpha_prods = [float(backbone.alphas_cumprod[timestep]) for timestep in timesteps]
    # The last step lands `stride` before its timestep, which for "leading" is always past the beginning.
    landing = timesteps[-1] - stride
    last = float(backbone.alphas_cumprod[landing]) if landing >= 0 else backbone.final_alpha_prod
    return Schedule(tuple(timesteps), (*alpha_prods, last))
