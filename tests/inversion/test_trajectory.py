"""A trajectory as data; that files keep it whole is tested with the methods, see `test_inversion.py`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from backbones.photo import open_photo
from backbones.view import look_at
from inversion.invert import invert, walk_of
from inversion.settings import InversionSettings

CAPTION = "a photo of a red rose"


def test_an_inversion_in_float64_is_walked_on_a_device_without_it(
    backbone: Backbone, latents: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = replace(look_at(backbone, open_photo(np.full((32, 32, 3), 128, np.uint8))), latents=latents)
    trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion="edict", steps=4))
    assert {tensor.dtype for tensor in trajectory.kept.values()} == {torch.float64}
    monkeypatch.setattr("backbones.precision.WITHOUT_FLOAT64", ("cpu",))
    there = trajectory.to("cpu")
    for name, tensor in there.kept.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, trajectory.kept[name].float())
    assert {part.dtype for part in walk_of(backbone, there, exact=True).begin()} == {torch.float32}
