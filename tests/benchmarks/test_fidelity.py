"""Reconstructions are sampled by the walk of their own method."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from backbones.photo import open_photo
from backbones.view import look_at
from benchmarks.fidelity import GUIDANCE, Way, reconstruct, walk_back
from inversion.ddim import ddim_sample
from inversion.invert import invert
from inversion.schedule import make_schedule
from inversion.settings import InversionSettings

CAPTION, STEPS = "a photo of a cat", 4


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def test_what_has_no_walk_of_its_own_is_sampled_by_ddim(backbone: Backbone, photo: np.ndarray) -> None:
    view = look_at(backbone, open_photo(photo))
    settings = InversionSettings(inversion="direct", steps=STEPS, guidance_scale=GUIDANCE)
    path = invert(backbone, view, CAPTION, settings)
    condition, schedule = backbone.condition([CAPTION]), make_schedule(backbone, STEPS)
    sampled = ddim_sample(backbone, schedule, path.latents[:1], condition, path.uncond, GUIDANCE)[-1:]
    torch.testing.assert_close(walk_back(backbone, path), sampled, rtol=1e-4, atol=1e-4)
    assert (sampled - view.latents).abs().max() > 1e-2  # guidance leaves the path


@pytest.mark.parametrize("name", ["edict", "edit_friendly"])
def test_walks_that_come_back_do(backbone: Backbone, photo: np.ndarray, name: str) -> None:
    view = look_at(backbone, open_photo(photo))
    back = reconstruct(backbone, view, CAPTION, Way(InversionSettings(inversion=name)), STEPS)
    torch.testing.assert_close(back, view.latents, rtol=1e-2, atol=1e-2)
