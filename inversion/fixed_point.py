"""Fixed-point inversion: each transition is solved for the noise that sampling will find at its noisier end."""

from __future__ import annotations

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.finite import check_finite
from backbones.levels import from_nearby
from inversion.progress import Callback, Progress
from inversion.schedule import Schedule
from inversion.settings import InversionSettings
from inversion.steps import ddim_step
from inversion.trajectory import Inverted

ITERATIONS = 4  # Garibi et al. 2024 take 1 with the models of 50 steps and 9 with those of 4


def fixed_point(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
) -> Inverted:
    """Inversion that sampling without guidance retraces, at four evaluations of the model for each step.

    Arguments are those of every method, see `method.Invert`.
    """
    with progress.phase("invert", schedule.steps) as callback:
        pivots = implicit_invert(backbone, schedule, latents, condition, iterations=ITERATIONS, callback=callback)
    return Inverted(pivots, backbone.condition([""]).expand(schedule.steps))


@torch.no_grad()
def implicit_invert(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    *,
    iterations: int,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Solves `z_t = A z_s + B eps(z_t, t)` at every transition from a cleaner level s to a noisier one t.

    A solution is a point from which the deterministic sampler comes back to `z_s` exactly. The iteration is `z <- A z_s
    + B eps(z, t)` (Pan et al., ICCV 2023; Garibi et al., ECCV 2024), and it starts from the
    noise that the transition before ended with (Jiao et al., ICLR 2026), the first one from the photo's.

    Args:
        backbone: The model.
        schedule: From `make_schedule`.
        latents: The photo's, `(1, C, h, w)`.
        condition: The caption's, one row.
        iterations: Evaluations of the model at every transition; one more is needed for the first.
        callback: Called with the steps counted from the photo.

    Returns:
        The pivots `(steps + 1, C, h, w)`, from noise (index 0) to photo (the last).
    """
    pivots, kind = [latents], backbone.levels.prediction_type
    prediction = backbone.predict(latents, schedule.timesteps[-1], condition, schedule.levels[-1])
    for done, i in enumerate(reversed(range(schedule.steps))):
        cleaner, noisier, timestep = schedule.levels[i + 1], schedule.levels[i], schedule.timesteps[i]
        for _ in range(iterations):
            guess = ddim_step(from_nearby(prediction, latents, cleaner, kind), noisier)
            prediction = backbone.predict(guess, timestep, condition)
        latents = ddim_step(from_nearby(prediction, latents, cleaner, kind), noisier)
        pivots.append(latents)
        if callback:
            callback(done, latents)
    return check_finite(torch.cat(pivots[::-1]), "inverted latents")
