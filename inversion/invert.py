"""`invert`: a photo to noise as a `Trajectory`, by any of the methods."""

from __future__ import annotations

from dataclasses import replace

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.view import View
from inversion import edict, edit_friendly, none, proximal
from inversion.direct import direct
from inversion.fixed_point import fixed_point
from inversion.method import Method
from inversion.negative_prompt import negative_prompt
from inversion.null_text import null_text
from inversion.null_text_search import null_text_search
from inversion.predictor_corrector import predictor_corrector
from inversion.progress import Progress
from inversion.schedule import make_schedule
from inversion.settings import InversionSettings
from inversion.trajectory import GENERATED, Trajectory
from inversion.walk import Walk

METHODS: dict[str, Method] = {
    "null_text": Method(null_text, needs_guidance=True),
    "null_text_search": Method(null_text_search, needs_guidance=True),
    "negative_prompt": Method(negative_prompt),
    "direct": Method(direct),
    "predictor_corrector": Method(predictor_corrector),
    "fixed_point": Method(fixed_point),
    "edit_friendly": edit_friendly.METHOD,
    "proximal": proximal.METHOD,
    "edict": edict.METHOD,
    "none": none.METHOD,
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
    asked = settings or InversionSettings()
    settings = settle(backbone, asked)
    schedule, condition = make_schedule(backbone, settings.steps, settings.sampled.start), backbone.condition([caption])
    method = METHODS[settings.inversion]
    inverted = method.invert(backbone, schedule, view.latents, condition, settings, progress or Progress())
    assert settings.guidance_scale is not None
    trajectory = Trajectory(
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
        kept=inverted.kept,
        first=schedule.first,
        source_guidance=inverted.source_guidance,
        asked=asked.changed,
    )
    check_kept(trajectory)
    return trajectory


def settle(backbone: Backbone, settings: InversionSettings) -> InversionSettings:
    """The settings with what was left to the method, or to the model."""
    preferred = METHODS[settings.inversion]
    asked = preferred.guidance_scale if settings.guidance_scale is None else settings.guidance_scale
    skip = preferred.skip if settings.skip is None else settings.skip
    return replace(settings, guidance_scale=backbone.guidance(asked), skip=skip)


def walk_of(backbone: Backbone, trajectory: Trajectory, exact: bool) -> Walk:
    """The way from noise to photo that belongs to a trajectory's method.

    Args:
        backbone: The model.
        trajectory: On its device.
        exact: Whether the source follows the trajectory, or is sampled.

    Raises:
        EditRealError: The trajectory was made by another method than it says.
    """
    check_kept(trajectory)
    return _method_of(trajectory).walk(backbone, trajectory, exact)


def check_kept(trajectory: Trajectory) -> None:
    """Refuses a trajectory that lacks what its method's walk needs, or brings what another's does.

    Raises:
        EditRealError: It does.
    """
    needed, got = set(_method_of(trajectory).kept), set(trajectory.kept)
    if needed != got:
        raise EditRealError(
            f"expected an inversion by {trajectory.method!r}, which keeps {_listed(needed)}, got another's, which "
            f"keeps {_listed(got)}; invert the photo again with inversion={trajectory.method!r}"
        )


def _method_of(trajectory: Trajectory) -> Method:
    method = "direct" if trajectory.method == GENERATED else trajectory.method  # a generated image is retraced as well
    if method not in METHODS:
        raise EditRealError(
            f"expected an inversion by one of {', '.join(METHODS)}, got one by {method!r}, which this version of "
            "edit-real does not know; invert the photo again"
        )
    return METHODS[method]


def _listed(names: set[str]) -> str:
    return " and ".join(sorted(names)) or "nothing further"
