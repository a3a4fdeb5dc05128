import dataclasses

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.levels import Level, Prediction, of_epsilon, read_flow_levels
from inversion.schedule import make_schedule, trailing_timesteps
from inversion.steps import ddim_step


def diffusers_scheduler(backbone: Backbone, **changes: object) -> DDIMScheduler:
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
    config |= {"set_alpha_to_one": False, "steps_offset": 1, "prediction_type": "epsilon", **changes}
    return DDIMScheduler(**config)


@pytest.mark.parametrize("steps", [1, 4, 30, 50, 999])
def test_every_step_equals_diffusers(backbone: Backbone, steps: int) -> None:
    scheduler = diffusers_scheduler(backbone)
    scheduler.set_timesteps(steps)
    schedule = make_schedule(backbone, steps)
    assert list(schedule.timesteps) == scheduler.timesteps.tolist()
    latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    for i, timestep in enumerate(schedule.timesteps):
        seen = of_epsilon(noise, latents, schedule.levels[i], schedule.levels[i])
        ours = ddim_step(seen, schedule.levels[i + 1])
        theirs = scheduler.step(noise, timestep, latents).prev_sample
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        latents = theirs


def test_trailing_timesteps_equal_diffusers(backbone: Backbone) -> None:
    levels = dataclasses.replace(backbone.levels, timestep_spacing="trailing")
    trailing = dataclasses.replace(backbone, levels=levels)
    scheduler = diffusers_scheduler(backbone, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    assert list(make_schedule(trailing, 20).timesteps) == scheduler.timesteps.tolist()


def test_trailing_timesteps_of_every_count_equal_diffusers(backbone: Backbone) -> None:
    scheduler = diffusers_scheduler(backbone, timestep_spacing="trailing")
    for steps in range(1, 1001):
        scheduler.set_timesteps(steps)  # which counts one too many at some, below the first timestep
        assert trailing_timesteps(1000, steps) == scheduler.timesteps.tolist()[:steps]


def test_a_rectified_flow_ends_at_the_photo_after_every_number_of_steps(backbone: Backbone) -> None:
    levels = read_flow_levels(FlowMatchEulerDiscreteScheduler(shift=3.0))
    flow = dataclasses.replace(backbone, levels=levels)
    assert {make_schedule(flow, steps).levels[-1] for steps in range(1, 101)} == {Level(1.0, 0.0)}


@pytest.mark.parametrize("levels", [(Level(0.95, 0.31), Level(0.4, 0.92)), (Level(0.8, 0.2), Level(0.3, 0.7))])
def test_a_transition_undoes_itself(levels: tuple[Level, Level]) -> None:
    start, end = levels
    latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    there = ddim_step(of_epsilon(noise, latents, start, start), end)
    torch.testing.assert_close(ddim_step(of_epsilon(noise, there, end, end), start), latents)


def test_under_a_rectified_flows_levels_the_transition_is_eulers_step() -> None:
    x0, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(2)).double()
    here, there = 0.7, 0.4
    latents = (1 - here) * x0 + here * noise
    euler = latents + (there - here) * (noise - x0)
    torch.testing.assert_close(ddim_step(Prediction(x0, noise), Level(1 - there, there)), euler)


def test_up_to_100_steps_and_divisors_of_1000_begin_in_the_noisiest_tenth(backbone: Backbone) -> None:
    for steps in (*range(1, 101), 125, 200, 250, 500):
        schedule = make_schedule(backbone, steps)
        assert schedule.timesteps[0] + 1000 // steps > 900
    assert make_schedule(backbone, 501).timesteps[0] == 501  # as the help of `steps` says


@pytest.mark.parametrize("steps", [0, -3, 1000])
def test_impossible_step_counts(backbone: Backbone, steps: int) -> None:
    with pytest.raises(EditRealError, match="steps"):
        make_schedule(backbone, steps)
