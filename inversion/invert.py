"""`invert`: a photo to noise as a `Trajectory`, by any of the methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.view import View
from inversion.direct import direct
from inversion.fixed_point import fixed_point
from inversion.negative_prompt import negative_prompt
from inversion.null_text import null_text
from inversion.predictor_corrector import predictor_corrector
from inversion.progress import Progress
from inversion.schedule import Schedule, make_schedule
from inversion.settings import InversionSettings
from inversion.trajectory import Inverted, Trajectory

Method = Callable[[Backbone, Schedule, torch.Tensor, Condition, InversionSettings, Progress], Inverted]
"""`(backbone, schedule, latents, condition, settings, progress) -> Inverted`.

`latents` are the photo's `(1, C, h, w)`, `condition` is its caption's row, and `settings.guidance_scale` is a number.
"""

METHODS: dict[str, Method] = {
    "null_text": null_text,
    "negative_prompt": negative_prompt,
    "direct": direct,
    "predictor_corrector": predictor_corrector,
    "fixed_point": fixed_point,
}
"""By the name that the setting `inversion` has for it."""


def invert(
    backbone: Backbone,
    view: View,
    caption: str,
    settings: InversionSettings | None = None,
    progress: Progress | None = None,
) -> Trajectory:
    """Invert what a model sees of a photo.

    Args:
        backbone: The model.
        view: From `look_at`.
        caption: What the photo shows.
        settings: The method and what it takes.
        progress: Told of every phase.

    Raises:
        EditRealError: More steps than the model has, or settings that do not fit the method.
    """
    settings = settings or InversionSettings()
    settings = replace(settings, guidance_scale=backbone.guidance(settings.guidance_scale))
    schedule, condition = make_schedule(backbone, settings.steps), backbone.condition([caption])
    method = METHODS[settings.inversion]
    inverted = method(backbone, schedule, view.latents, condition, settings, progress or Progress())
    assert settings.guidance_scale is not None
    return Trajectory(
        latents=inverted.latents,
        uncond=inverted.uncond,
        arrived=inverted.arrived,
        caption=caption,
        method=settings.inversion,
        steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        pixel_hash=view.photo.pixel_hash,
        fingerprint=backbone.fingerprint,
        dtype=backbone.dtype_name,
        geometry=view.geometry,
        report=inverted.report,
    )
