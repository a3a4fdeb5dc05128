"""`invert`: a photo's latents to a `Trajectory`, by any of the methods."""

from __future__ import annotations

from typing import Any

import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.text import encode_prompt
from inversion.ddim import Callback, ddim_invert
from inversion.direct import record_residuals
from inversion.negative_prompt import negative_prompt_embeds
from inversion.null_text import optimize_null_text
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory

METHODS = ("null_text", "negative_prompt", "direct", "ddim")
NULL_TEXT_STARTS = ("empty", "caption")


def invert(
    backbone: Backbone,
    latents: torch.Tensor,
    caption: str,
    *,
    method: str = "null_text",
    steps: int = 50,
    guidance_scale: float = 7.5,
    max_inner_steps: int = 10,
    null_text_start: str = "empty",
    as_published: bool = False,
    pixel_hash: str = "",
    geometry: dict[str, Any] | None = None,
    callback: Callback | None = None,
) -> Trajectory:
    """Invert a photo's latents; whatever the method, residuals are recorded so that it is followed exactly.

    Args:
        backbone: The model.
        latents: `(1, C, h, w)`.
        caption: What the photo shows.
        method: `null_text` tunes the unconditional embedding of every step; `negative_prompt` uses the caption's;
            `direct` and `ddim` use the empty caption's. `ddim` is the baseline whose residuals are usually ignored.
        steps: Of the schedule.
        guidance_scale: That edits of this trajectory will use.
        max_inner_steps: Null-text updates at each timestep, 10 as published.
        null_text_start: Whose embedding null-text starts from: `empty` as published, or `caption`, which guided
            sampling meets sooner.
        as_published: Null-text stops after the update, and keeps the last iterate; with `empty` and 10 updates it is
            the published one exactly.
        pixel_hash: Of the photo, kept with the trajectory.
        geometry: Of the photo, kept with the trajectory.
        callback: Called after every step of the DDIM inversion and then of null-text.

    Raises:
        EditRealError: An unknown method or start, or a guidance of 1 or less for null-text.
    """
    if method not in METHODS:
        raise EditRealError(f"expected an inversion among {', '.join(METHODS)}, got {method!r}")
    if null_text_start not in NULL_TEXT_STARTS:
        raise EditRealError(f"expected null_text_start among {', '.join(NULL_TEXT_STARTS)}, got {null_text_start!r}")
    if method == "null_text" and guidance_scale <= 1:
        raise EditRealError(f"expected a guidance above 1 for null-text, got {guidance_scale}; use 'direct'")
    schedule = make_schedule(backbone, steps)
    prompt_embeds, empty_embeds = encode_prompt(backbone, caption), encode_prompt(backbone, "")
    pivots = ddim_invert(backbone, schedule, latents.to(backbone.device), prompt_embeds, callback)
    report: dict[str, Any] = {}
    if method == "null_text":
        start = prompt_embeds if null_text_start == "caption" else empty_embeds
        options: dict[str, Any] = {"max_inner_steps": max_inner_steps, "as_published": as_published}
        tuned = optimize_null_text(
            backbone, schedule, pivots, prompt_embeds, start, guidance_scale, callback=callback, **options
        )
        uncond_embeds = tuned.uncond_embeds
        report = {"null_text_start": null_text_start, "inner_steps": tuned.inner_steps, "losses": tuned.losses}
    elif method == "negative_prompt":
        uncond_embeds = negative_prompt_embeds(prompt_embeds, steps)
    else:
        uncond_embeds = empty_embeds.expand(steps, -1, -1)
    residuals = record_residuals(backbone, schedule, pivots, prompt_embeds, uncond_embeds, guidance_scale)
    return Trajectory(
        latents=pivots,
        uncond_embeds=uncond_embeds,
        residuals=residuals,
        caption=caption,
        method=method,
        steps=steps,
        guidance_scale=guidance_scale,
        pixel_hash=pixel_hash,
        fingerprint=backbone.fingerprint,
        dtype=str(backbone.dtype).removeprefix("torch."),
        geometry=geometry or {},
        **report,
    )
