"""The denoising loop: the source follows its trajectory, the targets are edited beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from backbones.attention import AttentionSite, attention_sites, controlled_attention
from backbones.backbone import Backbone, check_finite
from editing.controls import SELF_SIDE, EditPlan, edit_attention
from inversion.ddim import Callback
from inversion.guidance import guide
from inversion.schedule import make_schedule
from inversion.steps import ddim_step
from inversion.trajectory import Trajectory
from masks.aggregate import AttentionMaps, AttentionRecorder

Blend = Callable[[torch.Tensor, torch.Tensor, AttentionRecorder, int], torch.Tensor]
"""`blend(latents, source_latents, recorder, step) -> latents`, applied to the targets `(N, C, h, w)` after a step."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """What the loop leaves.

    Attributes:
        latents: The edits, `(N, C, h, w)`.
        source: Where the source arrived, `(1, C, h, w)`.
        recorder: The attention of all `1 + 2N` rows, as it was before it was edited.
    """

    latents: torch.Tensor
    source: torch.Tensor
    recorder: AttentionRecorder

    def target_maps(self, index: int) -> AttentionMaps:
        """The attention of the edit at `index` over all steps."""
        return self.recorder.maps(row=1 + len(self.latents) + index)


@torch.no_grad()
def sample_edits(
    backbone: Backbone,
    trajectory: Trajectory,
    plans: Sequence[EditPlan],
    source_embeds: torch.Tensor,
    target_embeds: torch.Tensor,
    *,
    blend: Blend | None = None,
    exact: bool = True,
    callback: Callback | None = None,
) -> Sampled:
    """Samples `N` edits of one trajectory in one batch of `1 + 2N` rows.

    The source row needs no unconditional partner, since where it goes is already known.

    Args:
        backbone: The model.
        trajectory: Of the source.
        plans: One for each target.
        source_embeds: `(1, K, D)`.
        target_embeds: `(N, K, D)`.
        blend: Restores what the edit must not change.
        exact: False samples the source with guidance instead of following the trajectory, as first published.
        callback: Called with the targets' latents after every step.
    """
    schedule, count = make_schedule(backbone, trajectory.steps), len(plans)
    sites = controllable_sites(backbone, trajectory)
    recorder = AttentionRecorder(sites)
    plans = [plan.to(backbone.device) for plan in plans]

    def control(probs: torch.Tensor, site: AttentionSite, step: int) -> torch.Tensor:
        recorder.record(probs, site, step)
        return edit_attention(probs, site, step, plans)

    source, latents = trajectory.latents[:1], trajectory.latents[:1].expand(count, -1, -1, -1)
    for i, timestep in enumerate(schedule.timesteps):
        uncond_embeds = trajectory.uncond_embeds[i : i + 1]
        embeds = torch.cat([source_embeds, uncond_embeds.expand(count, -1, -1), target_embeds])
        with controlled_attention(backbone.unet, sites, partial(control, step=i)):
            noise_pred = backbone.noise_pred(torch.cat([source, latents, latents]), timestep, embeds)
        noise_pred_source, noise_pred_uncond, noise_pred_cond = noise_pred.split([1, count, count])
        alpha_prods = schedule.alpha_prods[i], schedule.alpha_prods[i + 1]
        guided = guide(noise_pred_uncond, noise_pred_cond, trajectory.guidance_scale)
        latents = ddim_step(latents, guided, *alpha_prods)
        if exact:
            source = trajectory.latents[i + 1 : i + 2]
        else:
            noise_pred_uncond = backbone.noise_pred(source, timestep, uncond_embeds)
            guided = guide(noise_pred_uncond, noise_pred_source, trajectory.guidance_scale)
            source = ddim_step(source, guided, *alpha_prods)
        if blend:
            latents = blend(latents, source, recorder, i)
        if callback:
            callback(i, latents)
    return Sampled(check_finite(latents, "edited latents"), source, recorder)


def controllable_sites(backbone: Backbone, trajectory: Trajectory) -> list[AttentionSite]:
    """The layers that an edit controls: all cross-attention, and self-attention up to `SELF_SIDE` squared."""
    sites = attention_sites(backbone.unet, *trajectory.latents.shape[-2:])
    return [site for site in sites if site.kind == "cross" or site.height * site.width <= SELF_SIDE**2]
