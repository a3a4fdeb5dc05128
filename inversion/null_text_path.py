"""Null-text optimisation along guided sampling's own path, as published; and that path, for other ways to tune."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.finite import check_finite
from backbones.levels import Prediction
from inversion.guidance import guide
from inversion.progress import Callback
from inversion.schedule import Schedule
from inversion.steps import ddim_step

LEARNING_RATE = 1e-2
STOP_LOSS, STOP_LOSS_RISE = 1e-5, 2e-5
LOSS_SCALE = 2.0**14  # of the gradient while it passes a half-precision network, which would flush it to zero
PUBLISHED_STEPS = 50  # the schedule that the decay of the rate and the rise of the tolerance were made for


@dataclass(frozen=True)
class NullTextResult:
    """What the optimisation found and what it took.

    Attributes:
        uncond: The tuned unconditional condition, a row for each step.
        arrived: Where guided sampling with it ends, `(1, C, h, w)`; None where the timesteps started from the pivots.
        inner_steps: Optimiser updates at each timestep that was tuned.
        losses: Mean squared distance from the pivot at each of them, with the embedding that was kept.
    """

    uncond: Condition
    arrived: torch.Tensor | None
    inner_steps: tuple[int, ...]
    losses: tuple[float, ...]

    @property
    def report(self) -> dict[str, Any]:
        """What a trajectory keeps of it."""
        return {"inner_steps": list(self.inner_steps), "losses": list(self.losses)}


Land = Callable[[torch.Tensor], torch.Tensor]
"""Where a timestep lands, `(R, C, h, w)`, with each of some embeddings `(R, K, D)`, which do not see one another."""


def squared_errors(landed: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    """Each row's mean squared distance, `(R,)` (Mokady et al., CVPR 2023, equation 3)."""
    return (landed - goal).square().mean((1, 2, 3))


def gradient_of(errors: torch.Tensor, embeds: torch.Tensor) -> torch.Tensor:
    """Of each row's error with respect to its embedding, by way of a scale that half precision can hold."""
    return torch.autograd.grad((errors * LOSS_SCALE).sum(), embeds)[0] / LOSS_SCALE


class Tuned(NamedTuple):
    """One timestep's embedding `(1, K, D)`, where it lands `(1, C, h, w)`, and what that took."""

    embeds: torch.Tensor
    landed: torch.Tensor
    updates: int
    loss: float


TuneStep = Callable[[int, Land, torch.Tensor, torch.Tensor], Tuned]
"""`(i, land, embeds, pivot) -> Tuned`: tunes step `i` from `embeds` `(1, K, D)` towards `pivot` `(1, C, h, w)`."""


def optimize_null_text(
    backbone: Backbone,
    schedule: Schedule,
    pivots: torch.Tensor,
    condition: Condition,
    start: Condition,
    guidance_scale: float,
    *,
    max_inner_steps: int,
    as_published: bool = False,
    callback: Callback | None = None,
) -> NullTextResult:
    """Pivotal null-text optimisation (Mokady et al., CVPR 2023, section 3.2 and algorithm 1).

    Each timestep starts from the previous one's embedding and takes at most `max_inner_steps` Adam updates, at a
    rate of 1e-2 (1 - i / 100), towards the next pivot; it stops below a squared error of 1e-5 + 2e-5 i. The rate
    and the tolerance follow the share of the schedule that is done, so that other step counts behave alike.

    Two things differ from the published code, and never for the worse: the stop test stands before the update,
    and the best iterate is kept, so a timestep ends no worse than it started. Embedding, moments, loss and
    transition are float32 whatever the network's format.

    Args:
        backbone: The model; its weights stay frozen.
        schedule: From `make_schedule`.
        pivots: `(steps + 1, C, h, w)`, from noise to photo.
        condition: The caption's, one row.
        start: Whose token embeddings the first timestep starts from: the empty caption's as published, or the
            caption's own. What else it holds stays as it is.
        guidance_scale: Greater than 1.
        max_inner_steps: At each timestep, 10 as published.
        as_published: Stop test after the update, last iterate kept.
        callback: Called before every evaluation and after every timestep.
    """

    def tune_step(i: int, land: Land, embeds: torch.Tensor, pivot: torch.Tensor) -> Tuned:
        return tune(
            land,
            embeds,
            pivot,
            rate=LEARNING_RATE * (1 - published_step(i, schedule.steps) / 100),
            tolerance=tolerance(i, schedule.steps),
            max_inner_steps=max_inner_steps,
            as_published=as_published,
        )

    return along_path(backbone, schedule, pivots, condition, start, guidance_scale, tune_step, callback)


def along_path(
    backbone: Backbone,
    schedule: Schedule,
    pivots: torch.Tensor,
    condition: Condition,
    start: Condition,
    guidance_scale: float,
    tune_step: TuneStep,
    callback: Callback | None = None,
) -> NullTextResult:
    """Tunes a timestep after another, each from where the guided step of the one before it lands.

    Arguments are those of `optimize_null_text`; `tune_step` starts each timestep from the embedding before. The
    callback is told of every evaluation too, so that what it raises ends the optimisation there.
    """
    latents, embeds = pivots[schedule.first : schedule.first + 1], start.embeds
    kept, inner_steps, losses = [], [], []
    for done, i in enumerate(schedule.sampled):
        with torch.no_grad():
            cond = backbone.predict(latents, schedule.timesteps[i], condition)

        def land(embeds: torch.Tensor, done: int = done, i: int = i, latents=latents, cond=cond) -> torch.Tensor:  # type: ignore[no-untyped-def]
            if callback:
                callback(max(done - 1, 0), latents)
            rows = len(embeds)
            told = start.expand(rows).with_embeds(embeds)
            uncond = backbone.predict(latents.expand(rows, -1, -1, -1), schedule.timesteps[i], told)
            guided = guide(uncond, Prediction(*(part.expand(rows, -1, -1, -1) for part in cond)), guidance_scale)
            return ddim_step(guided, schedule.levels[i + 1])

        tuned = tune_step(i, land, embeds, pivots[i + 1 : i + 2])
        embeds, latents = tuned.embeds, check_finite(tuned.landed, "null-text latents")
        kept.append(embeds)
        inner_steps.append(tuned.updates)
        losses.append(tuned.loss)
        if callback:
            callback(done, latents)
    found = check_finite(torch.cat(kept), "null-text embeddings")
    return NullTextResult(for_all_steps(found, start, schedule), latents, tuple(inner_steps), tuple(losses))


def for_all_steps(tuned: torch.Tensor, start: Condition, schedule: Schedule) -> Condition:
    """A row for each step: the embeddings `(S, K, D)` of those that are sampled, the start's where none is."""
    left_out = start.embeds.expand(schedule.first, -1, -1)
    return start.expand(schedule.steps).with_embeds(torch.cat([left_out, tuned]))


def published_step(i: int, steps: int) -> float:
    """Where step `i` of `steps` lies in the published schedule."""
    return i * PUBLISHED_STEPS / steps


def tolerance(i: int, steps: int) -> float:
    """The squared error below which step `i` of `steps` is not tuned further."""
    return STOP_LOSS + STOP_LOSS_RISE * published_step(i, steps)


def tune(
    land: Land,
    start: torch.Tensor,
    pivot: torch.Tensor,
    *,
    rate: float,
    tolerance: float,
    max_inner_steps: int,
    as_published: bool,
) -> Tuned:
    """Adam on the embedding of one timestep, from `start` `(1, K, D)`, until `land(embeds)` is near `pivot`."""
    embeds = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([embeds], lr=rate)
    best: Tuned | None = None
    previous = float("inf")
    for updates in range(max_inner_steps + 1):
        at_limit = updates == max_inner_steps
        with torch.set_grad_enabled(not at_limit):
            landed = land(embeds)
            error = F.mse_loss(landed, pivot)
        loss = float(error.detach())
        if best is None or as_published or loss <= best.loss:
            best = Tuned(embeds.detach().clone(), landed.detach(), updates, loss)
        # Published: the loss that is tested is the one before the update that has just been made.
        if at_limit or (previous if as_published else loss) < tolerance:
            break
        previous = loss
        optimizer.zero_grad()
        (error * LOSS_SCALE).backward()
        assert embeds.grad is not None
        embeds.grad /= LOSS_SCALE
        optimizer.step()
    assert best is not None
    return best._replace(updates=updates)
