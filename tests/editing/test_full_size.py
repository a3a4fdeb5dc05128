"""Stable Diffusion at full size with random weights: what a tiny model cannot show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.full_size import build
from editing.editor import Editor
from masks.record import map_sites

pytestmark = pytest.mark.slow

CAPTION, NEW = "a photo of a red rose", "a photo of a white rose"


def picture(height: int, width: int) -> np.ndarray:
    """A red disc on green noise, `(H, W, 3)` uint8."""
    y, x = np.mgrid[:height, :width]
    photo = np.random.default_rng(0).integers(40, 90, (height, width, 3)).astype(np.uint8)
    photo[np.hypot(x - width / 2, y - height / 2) < height / 3] = (220, 40, 40)
    return photo


@pytest.mark.parametrize(
    ("name", "dtype", "side", "map_side"),
    [("Stable Diffusion 1.5", torch.float32, 512, 16), ("Stable Diffusion 2.1", torch.bfloat16, 768, 24)],
    ids=["1.5", "2.1"],
)
def test_a_model_of_full_size_is_edited(name: str, dtype: torch.dtype, side: int, map_side: int) -> None:
    editor = Editor(build(name, dtype))
    backbone = editor.backbone
    assert (backbone.image_size, backbone.size_multiple) == (side, 64)

    photo = picture(side + 60, side + 90)
    trajectory = editor.invert(photo, CAPTION, inversion="direct", steps=2)
    height, width = trajectory.latents.shape[-2:]
    assert min(height, width) == side // 8
    grids = {(site.height, site.width) for site in map_sites(backbone.sites(height, width))}
    ((rows, columns),) = grids
    assert min(rows, columns) == map_side
    assert torch.isfinite(trajectory.latents).all()

    exclude = np.zeros(photo.shape[:2], bool)
    exclude[:, : photo.shape[1] // 2] = True
    result = editor.edit(trajectory, NEW, exclude_mask=exclude, local_blend=False, refinement="plain")
    mask, edited = np.asarray(result.mask), np.asarray(result.image)
    assert np.array_equal(edited[mask == 0], photo[mask == 0])
    assert (mask[exclude] == 0).all() and (mask[~exclude] > 0).mean() > 0.95
    assert (edited != photo).any()
    assert np.isfinite([result.metrics[key] for key in ("ceiling_psnr", "change_inside")]).all()
