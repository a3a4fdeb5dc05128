"""Inversions that look for the noise at a transition's noisier end."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import DDIMScheduler

from backbones.backbone import Backbone
from backbones.levels import of_epsilon, read_levels
from inversion.ddim import ddim_invert, ddim_sample
from inversion.fixed_point import ITERATIONS, fixed_point, implicit_invert
from inversion.predictor_corrector import predictor_corrector
from inversion.progress import Progress
from inversion.schedule import Schedule, make_schedule
from inversion.settings import InversionSettings
from inversion.steps import ddim_step

CAPTION, STEPS = "a photo of a red rose", 20


@pytest.fixture
def schedule(backbone: Backbone) -> Schedule:
    return make_schedule(backbone, STEPS)


def of_zero_snr(backbone: Backbone) -> Backbone:
    """The same model, whose noisiest level holds nothing of the photo."""
    scheduler = DDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False
    )
    return replace(backbone, levels=read_levels(scheduler))


def round_trip_error(backbone: Backbone, schedule: Schedule, pivots: torch.Tensor) -> float:
    """Of sampling at guidance 1 from the noise, as a share of the latents' own spread."""
    condition = backbone.condition([CAPTION])
    back = ddim_sample(backbone, schedule, pivots[:1], condition, condition.expand(schedule.steps), 1.0)
    return float((back[-1:] - pivots[-1:]).square().mean().sqrt() / pivots[-1:].std())


def test_the_round_trip_is_nearer_than_ddims_and_nearer_with_every_iteration(
    backbone: Backbone, schedule: Schedule, latents: torch.Tensor
) -> None:
    condition = backbone.condition([CAPTION])
    plain = round_trip_error(backbone, schedule, ddim_invert(backbone, schedule, latents, condition))
    errors = [
        round_trip_error(backbone, schedule, implicit_invert(backbone, schedule, latents, condition, iterations=number))
        for number in (1, 2, 4)
    ]
    assert plain > errors[0] > errors[1] > errors[2], (plain, errors)


@pytest.mark.parametrize("zero_snr", [False, True])
def test_many_iterations_solve_every_transition(backbone: Backbone, latents: torch.Tensor, zero_snr: bool) -> None:
    if zero_snr and backbone.levels.prediction_type == "epsilon":
        pytest.skip("such models are refused")
    backbone = of_zero_snr(backbone) if zero_snr else backbone
    schedule, condition = make_schedule(backbone, STEPS), backbone.condition([CAPTION])
    pivots = implicit_invert(backbone, schedule, latents, condition, iterations=20)
    with torch.no_grad():
        for i, timestep in enumerate(schedule.timesteps):
            landed = ddim_step(backbone.predict(pivots[i : i + 1], timestep, condition), schedule.levels[i + 1])
            torch.testing.assert_close(landed, pivots[i + 1 : i + 2], rtol=1e-4, atol=1e-4)


def test_no_iteration_carries_the_photos_own_noise_to_the_end(
    backbone: Backbone, schedule: Schedule, latents: torch.Tensor
) -> None:
    condition, photo = backbone.condition([CAPTION]), schedule.levels[-1]
    pivots = implicit_invert(backbone, schedule, latents, condition, iterations=0)
    with torch.no_grad():
        noise = backbone.predict(latents, schedule.timesteps[-1], condition, photo).noise
    expected = ddim_step(of_epsilon(noise, latents, photo, photo), schedule.levels[0])
    torch.testing.assert_close(pivots[:1], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("method", "each"), [(predictor_corrector, 1), (fixed_point, ITERATIONS)])
def test_what_a_step_costs(
    backbone: Backbone, schedule: Schedule, latents: torch.Tensor, method: object, each: int
) -> None:
    counted: list[int] = []
    handle = backbone.denoiser.register_forward_pre_hook(lambda _, args: counted.append(len(args[0])))
    try:
        found = method(  # type: ignore[operator]
            backbone, schedule, latents, backbone.condition([CAPTION]), InversionSettings(steps=STEPS), Progress()
        )
    finally:
        handle.remove()
    assert sum(counted) == each * STEPS + 1
    assert torch.equal(found.latents[-1:], latents)
    assert torch.equal(found.uncond.embeds, backbone.condition([""]).expand(STEPS).embeds)
