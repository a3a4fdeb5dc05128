"""Null-text optimisation along guided sampling's own path, with fewer gradients: each is searched for its step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.memory import rows_that_fit
from inversion.null_text import invert_and_tune
from inversion.null_text_path import (
    LEARNING_RATE,
    Land,
    NullTextResult,
    Tuned,
    along_path,
    gradient_of,
    squared_errors,
    tolerance,
)
from inversion.progress import Callback, Progress
from inversion.schedule import Schedule
from inversion.settings import InversionSettings
from inversion.trajectory import Inverted

LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the steps that are tried: root mean square, in the published first rate
MOMENTUM, SCALE_MEMORY = 0.4, 0.97  # kept of what was before, Adam's beta 1 and 2; chosen on two train photos


def null_text_search(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
) -> Inverted:
    """DDIM inversion, then null-text optimisation by searched steps; the report says what that took.

    Arguments are those of every method, see `method.Invert`.
    """
    return invert_and_tune(backbone, schedule, latents, condition, settings, progress, optimize_by_search)


def optimize_by_search(
    backbone: Backbone,
    schedule: Schedule,
    pivots: torch.Tensor,
    condition: Condition,
    start: Condition,
    guidance_scale: float,
    *,
    max_inner_steps: int,
    callback: Callback | None = None,
) -> NullTextResult:
    """Pivotal null-text optimisation (Mokady et al., CVPR 2023, algorithm 1), with more made of each gradient.

    The problem of a timestep, its start and its tolerance are those of `optimize_null_text`. Two things differ: an
    update tries steps of several lengths in one batch without gradients and takes the best, if it is one; and the
    direction, which is Adam's (Kingma and Ba, ICLR 2015, algorithm 1), goes on from timestep to timestep, since
    neighbours pose like problems.

    Args:
        backbone: The model; its weights stay frozen.
        schedule: From `make_schedule`.
        pivots: `(steps + 1, C, h, w)`, from noise to photo.
        condition: The caption's, one row.
        start: Whose token embeddings the first timestep starts from. What else it holds stays as it is.
        guidance_scale: Greater than 1.
        max_inner_steps: At each timestep.
        callback: Called before every evaluation and after every timestep.
    """
    direction = Direction.of(start.embeds)
    at_once = max(1, int(rows_that_fit(backbone, *pivots.shape[-2:])))

    def tune_step(i: int, land: Land, embeds: torch.Tensor, pivot: torch.Tensor) -> Tuned:
        goal = tolerance(i, schedule.steps)
        return search(land, embeds, pivot, direction, goal=goal, max_updates=max_inner_steps, at_once=at_once)

    return along_path(backbone, schedule, pivots, condition, start, guidance_scale, tune_step, callback)


@dataclass
class Direction:
    """Adam's direction from the gradients of all timesteps so far, each of them of length 1."""

    mean: torch.Tensor
    square: torch.Tensor

    @classmethod
    def of(cls, embeds: torch.Tensor) -> Direction:
        """Before the first gradient."""
        return cls(torch.zeros_like(embeds), torch.zeros_like(embeds))

    def turn(self, gradient: torch.Tensor) -> torch.Tensor:
        """Takes a gradient in; the direction from there, like it `(1, K, D)`, with a mean square of 1 or all 0."""
        gradient = gradient / gradient.norm().clamp(min=1e-30)
        self.mean = torch.lerp(gradient, self.mean, MOMENTUM)
        self.square = torch.lerp(gradient.square(), self.square, SCALE_MEMORY)
        way = -self.mean / self.square.sqrt().clamp(min=1e-8)
        return way / way.square().mean().sqrt().clamp(min=1e-8)


def search(
    land: Land,
    start: torch.Tensor,
    pivot: torch.Tensor,
    direction: Direction,
    *,
    goal: float,
    max_updates: int,
    at_once: int,
) -> Tuned:
    """Tunes the embedding of one timestep, from `start` `(1, K, D)`, until `land(embeds)` is near `pivot`.

    Args:
        land: See `Land`.
        start: Where to begin.
        pivot: `(1, C, h, w)`.
        direction: Of the timesteps before; it takes in this one's gradients.
        goal: Squared error below which no update is made.
        max_updates: A gradient each.
        at_once: Rows handed to `land` together, without gradients.
    """
    lengths = LEARNING_RATE * torch.tensor(LENGTHS, device=start.device)[:, None, None]
    landed, loss, gradient = _look(land, start, pivot, goal if max_updates else math.inf)
    best = Tuned(start, landed, 0, loss)
    for update in range(1, max_updates + 1):
        if gradient is None:
            break
        tried = best.embeds + lengths * direction.turn(gradient)
        with torch.no_grad():
            reached = torch.cat([land(some) for some in tried.split(at_once)])
        errors = squared_errors(reached, pivot).nan_to_num(nan=math.inf)
        nearest = errors.argmin(keepdim=True)
        best = best._replace(updates=update)
        if float(errors[nearest]) < best.loss:
            best = Tuned(tried[nearest], reached[nearest], update, float(errors[nearest]))
            again = update < max_updates and best.loss >= goal
            gradient = _look(land, best.embeds, pivot, goal)[2] if again else None
    return best


def _look(
    land: Land, embeds: torch.Tensor, pivot: torch.Tensor, goal: float
) -> tuple[torch.Tensor, float, torch.Tensor | None]:
    """Where `embeds` `(1, K, D)` land, their squared error, and its gradient if it is of use.

    It is of none where the error is below `goal`, or where it is not finite, since a direction would keep that.
    """
    embeds = embeds.detach().clone().requires_grad_(goal < math.inf)
    landed = land(embeds)
    error = squared_errors(landed, pivot)
    loss, landed = float(error.detach()), landed.detach()
    if not loss >= goal:
        return landed, loss, None
    gradient = gradient_of(error, embeds)
    return landed, loss, gradient if gradient.isfinite().all() else None
