"""A generated image edited by its caption: the same story without an inversion."""

from __future__ import annotations

from typing import Any

import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.geometry import plan_geometry
from backbones.loading import ModelSource, load_backbone
from backbones.option import check_number
from backbones.photo import Photo, open_photo
from backbones.pixels import to_image
from editing.captions import check_caption
from editing.make import make_edits
from editing.plan import plan_edit
from editing.result import EditResult
from editing.settings import split_settings
from editing.source import Look, look_at_source
from editing.views import look_again
from inversion.ddim import ddim_sample
from inversion.progress import Callback, Progress, progress_of
from inversion.schedule import make_schedule
from inversion.settings import MOST_SEED, InversionSettings
from inversion.trajectory import GENERATED, Trajectory

OF_SAMPLING = ("steps", "guidance_scale", "skip")  # the settings of an inversion that sampling an image has too


def edit_generated(
    caption: str,
    new_caption: str,
    *,
    seed: int = 0,
    model: ModelSource = "bundled",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    progress: bool | Callback | Progress = False,
    **settings: Any,
) -> EditResult:
    """Generate an image from a caption and a seed, and edit that.

    Args and errors are those of `edit_real`, but that nothing is inverted or looked at closer: of the inversion's
    settings there are `steps`, `guidance_scale` and `skip`. The unedited image is `result.photo`.
    """
    inversion, choice = split_settings(settings)
    check_caption(caption, "caption")
    check_caption(new_caption, "new caption")
    backbone, told = load_backbone(model, device, dtype), progress_of(progress)
    plan = plan_edit(backbone, caption, new_caption, (backbone.image_size,) * 2, choice, inversion.sampled)
    trajectory, photo = generate(backbone, caption, inversion, seed=seed, progress=told)
    view = look_again(trajectory, photo)
    source = look_at_source(backbone, trajectory, [plan], progress=told)
    return make_edits(backbone, Look(trajectory, view, source), [plan], told)[0]


def generate(
    backbone: Backbone,
    caption: str,
    settings: InversionSettings,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Trajectory, Photo]:
    """An image from a caption and a seed, with the trajectory that the sampler took to it.

    Raises:
        EditRealError: A seed that is no whole number from 0 on, or settings that only an inversion has.
    """
    check_number("seed", seed, 0, MOST_SEED, whole=True)
    if other := sorted(set(settings.changed) - {*OF_SAMPLING}):
        raise EditRealError(
            f"expected of the inversion's settings {', '.join(OF_SAMPLING)} alone, since a generated image is not "
            f"inverted, got {other[0]}; leave it out"
        )
    schedule, side = make_schedule(backbone, settings.steps), backbone.image_size // backbone.vae_factor
    shape = (1, backbone.latent_channels, side, side)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(backbone.device)
    condition, uncond = backbone.condition([caption]), backbone.condition([""]).expand(settings.steps)
    guidance_scale = backbone.guidance(settings.guidance_scale)
    with (progress or Progress()).phase("generate", settings.steps) as callback:
        latents = ddim_sample(backbone, schedule, noise, condition, uncond, guidance_scale, callback)
    photo = open_photo(to_image(backbone.decode(latents[-1:])))
    trajectory = Trajectory(
        latents=latents,
        uncond=uncond,
        arrived=latents[-1:].clone(),
        caption=caption,
        method=GENERATED,
        steps=settings.steps,
        guidance_scale=guidance_scale,
        pixel_hash=photo.pixel_hash,
        fingerprint=backbone.fingerprint,
        dtype=backbone.dtype_name,
        geometry=plan_geometry(photo.size, backbone.image_size, backbone.size_multiple),
        report={"seed": seed},
        first=settings.sampled.start,
        asked=settings.changed,
    )
    return trajectory, photo
