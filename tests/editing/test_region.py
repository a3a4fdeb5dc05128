from typing import Any

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from backbones.geometry import Geometry, plan_geometry
from backbones.text import parse_caption
from editing.align import align_captions
from editing.region import EditRegion, find_region
from editing.settings import EditSettings
from masks.aggregate import AttentionMaps

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

SIDE, CELLS, EDGE = 64, 16, 38  # the photo's side, the latents', and where the photo's own edge is


@pytest.fixture
def photo() -> np.ndarray:
    """Red up to `EDGE`, then green, `(64, 64, 3)` uint8."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, :EDGE, 0], pixels[:, EDGE:, 1] = 200, 120
    return pixels


@pytest.fixture
def geometry() -> Geometry:
    return plan_geometry((SIDE, SIDE), SIDE, 8)


def region_of(backbone: Backbone, **options: Any) -> EditRegion:
    captions = [parse_caption(backbone.tokenizer, text) for text in ("a photo of a rose", "a photo of a cat")]
    settings = EditSettings(mask_rule="midrange", mask_spread=0, **options)
    return find_region(align_captions(*captions), settings, (SIDE, SIDE))


def maps_of(region: EditRegion) -> AttentionMaps:
    """Maps of 4 x 4 cells that see the old word in the left half of the frame, up to 32 of the photo's 64 columns."""
    cross = torch.zeros(1, 4, 4, 77)
    cross[:, :, :2, list(region.source_words[0].positions)] = 1
    return AttentionMaps(cross.flatten(1, 2), torch.eye(16), 4, 4)


def test_cells_follow_the_photos_edge_where_the_maps_are_too_coarse(
    backbone: Backbone, photo: np.ndarray, geometry: Geometry
) -> None:
    region = region_of(backbone)
    maps = maps_of(region)
    assert (region.soft_mask(maps, None, geometry) > 0.5)[:, :2].all()
    assert not (region.soft_mask(maps, None, geometry) > 0.5)[:, 2:].any()
    cells = region.covered_cells(maps, photo, geometry, CELLS, CELLS)
    assert cells.shape == (CELLS, CELLS)
    held = -(-EDGE * CELLS // SIDE)  # a cell is four pixels wide; the edge lies in the middle of the last one
    assert cells[:, :held].all() and not cells[:, held:].any()


@pytest.mark.parametrize(("share", "held"), [(0.2, 10), (0.7, 9)])
def test_a_cell_counts_from_a_share_on(
    backbone: Backbone, photo: np.ndarray, geometry: Geometry, share: float, held: int
) -> None:
    region = region_of(backbone, cell_share=share)
    cells = region.covered_cells(maps_of(region), photo, geometry, CELLS, CELLS)
    assert cells.sum(1).tolist() == [held] * CELLS


def test_a_share_of_one_leaves_the_cells_to_the_maps(backbone: Backbone, photo: np.ndarray, geometry: Geometry) -> None:
    region = region_of(backbone, cell_share=1.0)
    assert region.covered_cells(maps_of(region), photo, geometry, CELLS, CELLS) is None


def test_what_the_user_excludes_is_no_cell(backbone: Backbone, photo: np.ndarray, geometry: Geometry) -> None:
    exclude = np.zeros((SIDE, SIDE), bool)
    exclude[:20] = True
    region = region_of(backbone, exclude_mask=exclude, refinement="plain")
    cells = region.covered_cells(maps_of(region), photo, geometry, CELLS, CELLS)
    assert not cells[:4].any() and cells[6:, :7].all()


def test_the_users_masks_hold_to_the_pixel(backbone: Backbone, photo: np.ndarray, geometry: Geometry) -> None:
    include, exclude = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
    include[50:53, 60:63] = True  # far too small for a cell of the maps, and for what is not noise
    exclude[3:5, 7:9] = True
    region = region_of(backbone, include_mask=include, exclude_mask=exclude)
    fine = region.fine_mask(region.soft_mask(maps_of(region), None, geometry), photo, geometry)
    assert fine[include].all() and not fine[exclude].any()
    assert not fine[30:, 50:][~include[30:, 50:]].any()
