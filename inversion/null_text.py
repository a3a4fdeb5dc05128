"""Null-text optimisation: an unconditional embedding for every step, tuned until guided sampling meets the pivots."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from backbones.backbone import Backbone, check_finite
from inversion.ddim import Callback
from inversion.guidance import guide
from inversion.schedule import Schedule
from inversion.steps import ddim_step

LEARNING_RATE = 1e-2
STOP_LOSS, STOP_LOSS_RISE = 1e-5, 2e-5
PUBLISHED_STEPS = 50  # the schedule that the decay of the rate and the rise of the tolerance were made for


@dataclass(frozen=True)
class NullTextResult:
    """What the optimisation found and what it took.

    Attributes:
        uncond_embeds: `(steps, K, D)` float32.
        inner_steps: Optimiser updates at each timestep.
        losses: Mean squared distance from the pivot at each timestep, with the embedding that was kept.
        start_losses: The same with the embedding that the timestep started from.
    """

    uncond_embeds: torch.Tensor
    inner_steps: tuple[int, ...]
    losses: tuple[float, ...]
    start_losses: tuple[float, ...]


def optimize_null_text(
    backbone: Backbone,
    schedule: Schedule,
    pivots: torch.Tensor,
    prompt_embeds: torch.Tensor,
    start_embeds: torch.Tensor,
    guidance_scale: float,
    *,
    max_inner_steps: int = 10,
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
        prompt_embeds: The caption's, `(1, K, D)`.
        start_embeds: Where the first timestep starts: the empty caption's embedding as published, or the caption's
            own, `(1, K, D)`.
        guidance_scale: Greater than 1.
        max_inner_steps: At each timestep.
        as_published: Stop test after the update, last iterate kept.
        callback: Called after every timestep.
    """
    latents, uncond_embeds = pivots[:1], start_embeds
    kept, inner_steps, losses, start_losses = [], [], [], []
    for i, timestep in enumerate(schedule.timesteps):
        share = i * PUBLISHED_STEPS / schedule.steps
        with torch.no_grad():
            noise_pred = backbone.noise_pred(latents, timestep, prompt_embeds)
        state = _Timestep(backbone, schedule, i, latents, noise_pred, pivots[i + 1 : i + 2], guidance_scale)
        tolerance = STOP_LOSS + STOP_LOSS_RISE * share
        rate = LEARNING_RATE * (1 - share / 100)
        result = state.optimize(uncond_embeds, rate, tolerance, max_inner_steps, as_published)
        uncond_embeds = result.embeds
        with torch.no_grad():
            latents = state.step(uncond_embeds)
        kept.append(uncond_embeds)
        inner_steps.append(result.inner_steps)
        losses.append(result.loss)
        start_losses.append(result.start_loss)
        if callback:
            callback(i, latents)
    embeds = check_finite(torch.cat(kept), "null-text embeddings")
    return NullTextResult(embeds, tuple(inner_steps), tuple(losses), tuple(start_losses))


@dataclass(frozen=True)
class _Optimized:
    embeds: torch.Tensor
    inner_steps: int
    loss: float
    start_loss: float


@dataclass(frozen=True)
class _Timestep:
    """The problem of one timestep: from `latents`, land on `pivot`."""

    backbone: Backbone
    schedule: Schedule
    index: int
    latents: torch.Tensor
    noise_pred: torch.Tensor
    pivot: torch.Tensor
    guidance_scale: float

    def step(self, uncond_embeds: torch.Tensor) -> torch.Tensor:
        """Where the guided step lands, `(1, C, h, w)`."""
        noise_pred_uncond = self.backbone.noise_pred(self.latents, self.schedule.timesteps[self.index], uncond_embeds)
        guided = guide(noise_pred_uncond, self.noise_pred, self.guidance_scale)
        alpha_prods = self.schedule.alpha_prods
        return ddim_step(self.latents, guided, alpha_prods[self.index], alpha_prods[self.index + 1])

    def optimize(
        self, start: torch.Tensor, rate: float, tolerance: float, max_inner_steps: int, as_published: bool
    ) -> _Optimized:
        embeds = start.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([embeds], lr=rate)
        best, losses, updates = start, [], 0
        while True:
            at_limit = updates == max_inner_steps
            with torch.set_grad_enabled(not at_limit):
                loss = F.mse_loss(self.step(embeds), self.pivot)
            losses.append(float(loss.detach()))
            if as_published:
                # Published: the loss that is tested is the one before the update that has just been made.
                done = at_limit or (updates > 0 and losses[-2] < tolerance)
                best = embeds.detach().clone()
            else:
                done = at_limit or losses[-1] < tolerance
                if losses[-1] <= min(losses):
                    best = embeds.detach().clone()
            if done:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
        return _Optimized(best, updates, losses[-1] if as_published else min(losses), losses[0])
