"""Null-text optimisation of many timesteps at once, each from its own pivot.

Published null-text goes along guided sampling's own path: a timestep cannot begin before the one before it is done,
and what that one missed is added to what this one has to mend. An edit that replays its source does not need that path.
Here every timestep starts at its pivot, so that those of a block are problems of their own: a batch. Neighbours come to
like embeddings, so that only some of them need be tuned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.finite import check_finite
from backbones.levels import Level, Prediction
from backbones.memory import ROWS_AT_ONCE, rows_that_fit
from inversion.guidance import guide
from inversion.null_text_path import NullTextResult, for_all_steps, gradient_of, squared_errors, tolerance
from inversion.progress import Callback
from inversion.schedule import Schedule
from inversion.steps import ddim_step

CAUTION = 0.5  # of Polyak's step, the loss over the squared gradient; with two updates all of it was no better
LONGEST = 2.0  # how many of Polyak's a step may be long: two are exact for a parabola whose lowest value is 0


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
    every: int = 1,
    callback: Callback | None = None,
) -> NullTextResult:
    """Null-text optimisation by blocks of timesteps; the objective of a timestep is Mokady et al.'s (CVPR 2023, 3.2).

    A block's timesteps all start from the last embedding of the block before. A timestep rests once its squared error
    is below the published tolerance, and its best iterate is kept, for those that follow and are not tuned too.

    Args:
        backbone: The model; its weights stay frozen.
        schedule: From `make_schedule`.
        pivots: `(steps + 1, C, h, w)`, from noise to photo.
        condition: The caption's, one row.
        start: Whose token embeddings the first block starts from. What else it holds stays as it is.
        guidance_scale: Greater than 1.
        max_inner_steps: Updates of each timestep that is tuned.
        block: How many of those a block has.
        every: Every how manieth timestep is tuned, from the first on.
        callback: Called before every update of a block, with the timestep that its share of the updates comes to, and
            at the end with its last; what it raises ends the optimisation there.
    """
    embeds, kept = start.embeds, []
    at_once = max(1, int(rows_that_fit(backbone, *pivots.shape[-2:]) / ROWS_AT_ONCE))  # each with its gradient
    chosen = schedule.sampled[::every]
    land = landing(backbone, schedule, pivots, condition, start, guidance_scale, chosen)
    for first in range(0, len(chosen), block):
        steps = chosen[first : first + block]
        tolerances = torch.tensor([tolerance(i, schedule.steps) for i in steps], device=pivots.device)
        goal, starts = pivots[[i + 1 for i in steps]], embeds.expand(len(steps), -1, -1)

        def told(done: float, steps: Sequence[int] = steps) -> None:
            if callback:
                end = min(steps[-1] + every, schedule.steps)
                reached = max(steps[0], steps[0] + int(done * (end - steps[0])) - 1)
                callback(reached - schedule.first, pivots[reached + 1 : reached + 2])

        tuned = descend(partial(land, first=first), starts, goal, tolerances, max_inner_steps, at_once, told)
        told(1.0)
        embeds = tuned.embeds[-1:]
        kept.append(tuned)
    found = check_finite(torch.cat([tuned.embeds for tuned in kept]), "null-text embeddings")
    found = found.repeat_interleave(every, 0)[: len(schedule.sampled)]
    updates, losses = (torch.cat(parts).tolist() for parts in zip(*(tuned[1:] for tuned in kept), strict=True))
    return NullTextResult(for_all_steps(found, start, schedule), None, tuple(updates), tuple(losses))


Land = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""`(embeds, rows) -> latents`: where the timesteps `rows` of a block land with their embeddings `(R, K, D)`."""


def landing(
    backbone: Backbone,
    schedule: Schedule,
    pivots: torch.Tensor,
    condition: Condition,
    start: Condition,
    guidance_scale: float,
    steps: Sequence[int],
) -> Callable[..., torch.Tensor]:
    """Guided steps of some timesteps from their pivots, the conditional half of which is worked out once for all.

    Returns:
        A `Land`; with `first`, rows are counted from there.
    """
    latents, device = pivots[list(steps)], pivots.device
    timesteps = torch.tensor([schedule.timesteps[i] for i in steps], device=device)
    reached = torch.tensor([schedule.levels[i + 1] for i in steps], device=device, dtype=torch.float32)
    signal, noise = reached[:, :, None, None, None].unbind(1)
    with torch.no_grad():
        parts = [
            backbone.predict(latents[rows], timesteps[rows], condition.expand(len(rows)))
            for rows in torch.arange(len(steps), device=device).split(ROWS_AT_ONCE)
        ]
    cond = Prediction(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def land(embeds: torch.Tensor, rows: torch.Tensor, *, first: int = 0) -> torch.Tensor:
        rows = rows + first
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


def descend(
    land: Land,
    start: torch.Tensor,
    goal: torch.Tensor,
    tolerance: torch.Tensor,
    max_updates: int,
    at_once: int | None = None,
    told: Callable[[float], None] | None = None,
) -> Tuned:
    """Gradient descent on many small problems at once, each with steps of its own length.

    The first step is half of Polyak's, whose length is the loss over the squared gradient; those that follow are the
    shorter ones of Barzilai and Borwein (1988, equation 5), whose length is what the last step taught of the curvature.
    Neither has a rate to choose.

    Args:
        land: The function; its rows do not depend on one another.
        start: `(B, K, D)`.
        goal: Where each should land, `(B, C, h, w)`.
        tolerance: Of each one's mean squared error, `(B,)`.
        max_updates: Of each.
        at_once: How many rows are handed to `land` together; all by default.
        told: Called before every update with the share of them that is done.
    """
    best, losses = start.detach().clone(), torch.full((len(start),), torch.inf, device=start.device)
    updates = torch.zeros(len(start), dtype=torch.long, device=start.device)
    rows, embeds, before = torch.arange(len(start), device=start.device), best.clone(), None
    for update in range(max_updates + 1):
        above = tolerance[rows] if update < max_updates else None
        found, gradient = look(land, embeds, rows, goal, at_once or len(start), above)
        if update == 0:  # later a step may have gone too far, after which a row rests at its best
            check_finite(found, "null-text losses")
        better = found <= losses[rows]
        best[rows] = torch.where(better[:, None, None], embeds, best[rows])
        losses[rows] = torch.where(better, found, losses[rows])
        going = [row for row, above in enumerate((found >= tolerance[rows]).unbind()) if above]
        if gradient is None or not going:
            break
        embeds, gradient, rows, found = embeds[going], gradient[going], rows[going], found[going]
        if told:
            told(update / max_updates)
        length = step_length(embeds, gradient, found, None if before is None else [part[going] for part in before])
        before = [embeds, gradient]
        embeds = embeds - length[:, None, None] * gradient
        updates[rows] += 1
    return Tuned(best, updates, losses)


def look(
    land: Land,
    embeds: torch.Tensor,
    rows: torch.Tensor,
    goal: torch.Tensor,
    at_once: int,
    above: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Each row's squared error `(R,)` and, unless `above` is None, its gradient `(R, K, D)`.

    Rows that are handed over together have zeros where none of their errors reaches `above`, `(R,)`.
    """
    losses, gradients = [], []
    for part in torch.arange(len(rows), device=rows.device).split(at_once):
        tuned = embeds[part].requires_grad_(above is not None)
        with torch.set_grad_enabled(above is not None):
            errors = squared_errors(land(tuned, rows[part]), goal[rows[part]])
        losses.append(errors.detach())
        if above is not None:
            gradients.append(
                gradient_of(errors, tuned) if (losses[-1] >= above[part]).any() else torch.zeros_like(tuned)
            )
    return torch.cat(losses), torch.cat(gradients) if gradients else None


def step_length(
    embeds: torch.Tensor, gradient: torch.Tensor, losses: torch.Tensor, before: list[torch.Tensor] | None
) -> torch.Tensor:
    """Of each row's next step, `(B,)`; `before` are embeddings and gradient of the step before."""
    polyak = losses / gradient.square().sum((1, 2)).clamp(min=1e-30)
    if before is None:
        return CAUTION * polyak
    moved, turned = embeds - before[0], gradient - before[1]
    curved = (moved * turned).sum((1, 2))
    borwein = curved / turned.square().sum((1, 2)).clamp(min=1e-30)
    return torch.where(curved > 0, torch.minimum(borwein, LONGEST * polyak), CAUTION * polyak)
