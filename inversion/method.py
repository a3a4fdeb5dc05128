"""What a method of inversion is: a function, the way back that belongs to it, and what it prefers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from inversion.progress import Progress
from inversion.schedule import Schedule
from inversion.settings import InversionSettings
from inversion.trajectory import Inverted
from inversion.walk import MakeWalk, Retrace

Invert = Callable[[Backbone, Schedule, torch.Tensor, Condition, InversionSettings, Progress], Inverted]
"""`(backbone, schedule, latents, condition, settings, progress) -> Inverted`.

`latents` are the photo's `(1, C, h, w)`, `condition` is its caption's row, and `settings.guidance_scale` is a number.
"""


@dataclass(frozen=True)
class Method:
    """An entry of `invert.METHODS`.

    Attributes:
        invert: A photo's latents to noise.
        walk: How edits go from noise to photo.
        kept: The names of the tensors that its trajectories keep for that.
        guidance_scale: Where that is left to the method; None is what suits the model.
        skip: Share of the steps from noise that sampling leaves out, where that is left to the method.
        needs_guidance: Whether a guidance of 1 leaves it nothing to do.
    """

    invert: Invert
    walk: MakeWalk = Retrace
    kept: tuple[str, ...] = ()
    guidance_scale: float | None = None
    skip: float = 0.0
    needs_guidance: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", self.invert.__doc__)  # which the reference and `help` show
