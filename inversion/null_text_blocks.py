"""Null-text optimisation of many timesteps at once, each from its own pivot.

Published null-text goes along guided sampling's own path: a timestep cannot begin before the one before it is done,
and what that one missed is added to what this one has to mend. An edit that replays its source does not need that path.
Here every timestep starts at its pivot, so that those of a block are problems of their own: a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.finite import check_finite
from backbones.levels import Level, Prediction
from inversion.guidance import guide
from inversion.null_text_path import LOSS_SCALE, NullTextResult, tolerance
from inversion.progress import Callback
from inversion.schedule import Schedule
from inversion.steps import ddim_step

POLYAK = 0.5  # of the loss over the squared gradient: the step that is exact for a parabola whose lowest value is 0
LONGEST = 4.0  # how many such steps a later one may be long


def optimize_in_blocks(
    backbone: Backbone,
    schedule: Schedule,
    pivots: torch.Tensor,
    condition: Condition,
    start: Condition,
    guidance_scale: float,
    *,
    max_inner_steps: int,
    block: int,
    callback: Callback | None = None,
) -> NullTextResult:
    """Null-text optimisation by blocks of timesteps; the objective of a timestep is Mokady et al.'s (CVPR 2023, 3.2).

    A block's timesteps all start from the last embedding of the block before. A timestep rests once its squared error
    is below the published tolerance, and its best iterate is kept.

    Args:
        backbone: The model; its weights stay frozen.
        schedule: From `make_schedule`.
        pivots: `(steps + 1, C, h, w)`, from noise to photo.
        condition: The caption's, one row.
        start: Whose token embeddings the first block starts from. What else it holds stays as it is.
        guidance_scale: Greater than 1.
        max_inner_steps: Updates of each timestep.
        block: How many timesteps a block has.
        callback: Called after every block, with its last timestep.
    """
    embeds, kept = start.embeds, []
    for first in range(0, schedule.steps, block):
        steps = range(first, min(first + block, schedule.steps))
        land = landing(backbone, schedule, pivots, condition, start, guidance_scale, steps)
        goals = torch.tensor([tolerance(i, schedule.steps) for i in steps], device=pivots.device)
        tuned = descend(land, embeds.expand(len(steps), -1, -1), pivots[first + 1 : steps.stop + 1], goals, max_inner_steps)
        embeds = tuned.embeds[-1:]
        kept.append(tuned)
        if callback:
            callback(steps.stop - 1, pivots[steps.stop : steps.stop + 1])
    found = check_finite(torch.cat([tuned.embeds for tuned in kept]), "null-text embeddings")
    updates, losses = (torch.cat(parts).tolist() for parts in zip(*(tuned[1:] for tuned in kept), strict=True))
    return NullTextResult(start.expand(schedule.steps).with_embeds(found), None, tuple(updates), tuple(losses))


Land = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""`(embeds, rows) -> latents`: where the timesteps `rows` of a block land with their embeddings `(R, K, D)`."""


def landing(
    backbone: Backbone,
    schedule: Schedule,
    pivots: torch.Tensor,
    condition: Condition,
    start: Condition,
    guidance_scale: float,
    steps: range,
) -> Land:
    """Guided steps of a block's timesteps from their pivots, the conditional half of which is worked out once."""
    latents = pivots[steps.start : steps.stop]
    timesteps = torch.tensor(schedule.timesteps[steps.start : steps.stop], device=pivots.device)
    signal, noise = (
        torch.tensor([level[part] for level in schedule.levels[steps.start + 1 : steps.stop + 1]], device=pivots.device)
        .float()[:, None, None, None]
        for part in (0, 1)
    )  # fmt: skip
    with torch.no_grad():
        cond = backbone.predict(latents, timesteps, condition.expand(len(steps)))

    def land(embeds: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        told = start.expand(len(embeds)).with_embeds(embeds)
        uncond = backbone.predict(latents[rows], timesteps[rows], told)
        guided = guide(uncond, Prediction(*(part[rows] for part in cond)), guidance_scale)
        return ddim_step(guided, Level(signal[rows], noise[rows]))

    return land


class Tuned(NamedTuple):
    """A block's embeddings `(B, K, D)`, the updates that each took, and the squared errors of those embeddings."""

    embeds: torch.Tensor
    updates: torch.Tensor
    losses: torch.Tensor


def descend(land: Land, start: torch.Tensor, goal: torch.Tensor, tolerance: torch.Tensor, max_updates: int) -> Tuned:
    """Gradient descent on many small problems at once, each with steps of its own length.

    The first step is Polyak's, half the loss over the squared gradient; those that follow are the shorter ones of
    Barzilai and Borwein (1988, equation 5), whose length is what the last step taught of the curvature. Neither has a
    rate to choose.

    Args:
        land: The function; its rows do not depend on one another.
        start: `(B, K, D)`.
        goal: Where each should land, `(B, C, h, w)`.
        tolerance: Of each one's mean squared error, `(B,)`.
        max_updates: Of each.
    """
    best, losses = start.detach().clone(), torch.full((len(start),), torch.inf, device=start.device)
    updates = torch.zeros(len(start), dtype=torch.long, device=start.device)
    rows, embeds, before = torch.arange(len(start), device=start.device), best.clone(), None
    for update in range(max_updates + 1):
        embeds.requires_grad_(update < max_updates)
        with torch.set_grad_enabled(update < max_updates):
            errors = (land(embeds, rows) - goal[rows]).square().mean((1, 2, 3))
        found = errors.detach()
        better = found <= losses[rows]
        best[rows[better]], losses[rows[better]] = embeds.detach()[better], found[better]
        going = found >= tolerance[rows]
        if update == max_updates or not going.any():
            break
        (gradient,) = torch.autograd.grad((errors[going] * LOSS_SCALE).sum(), embeds)
        embeds, gradient, rows, found = embeds.detach()[going], gradient[going] / LOSS_SCALE, rows[going], found[going]
        length = step_length(embeds, gradient, found, before and [part[going] for part in before])
        before = [embeds, gradient]
        embeds = embeds - length[:, None, None] * gradient
        updates[rows] += 1
    return Tuned(best, updates, losses)


def step_length(
    embeds: torch.Tensor, gradient: torch.Tensor, losses: torch.Tensor, before: list[torch.Tensor] | None
) -> torch.Tensor:
    """Of each row's next step, `(B,)`; `before` are embeddings and gradient of the step before."""
    polyak = POLYAK * losses / gradient.square().sum((1, 2)).clamp(min=1e-30)
    if before is None:
        return polyak
    moved, turned = embeds - before[0], gradient - before[1]
    curved = (moved * turned).sum((1, 2))
    borwein = curved / turned.square().sum((1, 2)).clamp(min=1e-30)
    return torch.where(curved > 0, torch.minimum(borwein, LONGEST * polyak), polyak)
