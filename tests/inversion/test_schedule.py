import dataclasses

import pytest
import torch
from diffusers import DDIMScheduler

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from inversion.schedule import make_schedule
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
        ours = ddim_step(latents, noise, schedule.alpha_prods[i], schedule.alpha_prods[i + 1])
        theirs = scheduler.step(noise, timestep, latents).prev_sample
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        latents = theirs


def test_trailing_timesteps_equal_diffusers(backbone: Backbone) -> None:
    trailing = dataclasses.replace(backbone, timestep_spacing="trailing")
    scheduler = diffusers_scheduler(backbone, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    assert list(make_schedule(trailing, 20).timesteps) == scheduler.timesteps.tolist()


def test_a_transition_undoes_itself() -> None:
    latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    there = ddim_step(latents, noise, 0.9, 0.2)
    torch.testing.assert_close(ddim_step(there, noise, 0.2, 0.9), latents)


@pytest.mark.parametrize("steps", [0, -3, 1000])
def test_impossible_step_counts(backbone: Backbone, steps: int) -> None:
    with pytest.raises(EditRealError, match="steps"):
        make_schedule(backbone, steps)
