from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from backbones.backbone import Backbone
from backbones.geometry import plan_geometry
from backbones.photo import open_photo
from backbones.pixels import to_pixels
from backbones.view import View
from editing.place import Place
from editing.plan import EditPlan, plan_edit
from editing.settings import EditSettings
from masks.aggregate import AttentionMaps
from tests.editing.edits import picture

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

SIDE, CELLS, EDGE = 64, 16, 38  # the photo's side, the latents', and where the photo's own edge is


@pytest.fixture
def view() -> View:
    """Of a photo that is red up to `EDGE`, then green, 64 x 64; its latents are 16 x 16."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, :EDGE, 0], pixels[:, EDGE:, 1] = 200, 120
    photo, geometry = open_photo(Image.fromarray(pixels)), plan_geometry((SIDE, SIDE), SIDE, 8)
    return View(photo, geometry, to_pixels(photo, geometry), torch.zeros(1, 4, CELLS, CELLS))


def plan(backbone: Backbone, **options: Any) -> EditPlan:
    settings = EditSettings(mask_rule="midrange", mask_spread=0, **options)
    return plan_edit(backbone, "a photo of a rose", "a photo of a cat", (SIDE, SIDE), settings, sampled=range(10))


def maps_of(edit: EditPlan) -> AttentionMaps:
    """Maps of 4 x 4 cells that see the old word in the left half of the frame, up to 32 of the photo's 64 columns."""
    cross = torch.zeros(1, 4, 4, 77)
    cross[:, :, :2, list(edit.region.source_words[0].positions)] = 1
    return AttentionMaps(cross.flatten(1, 2), torch.eye(16), 4, 4)


def place_of(backbone: Backbone, view: View, **options: Any) -> Place:
    edit = plan(backbone, **options)
    return Place(edit, maps_of(edit), view)


def test_cells_follow_the_photos_edge_where_the_maps_are_too_coarse(backbone: Backbone, view: View) -> None:
    place = place_of(backbone, view)
    soft = place.soft_mask()
    assert (soft > 0.5)[:, :2].all() and not (soft > 0.5)[:, 2:].any()
    assert place.cells.shape == (CELLS, CELLS)
    held = -(-EDGE * CELLS // SIDE)  # a cell is four pixels wide; the edge lies in the middle of the last one
    assert place.cells[:, :held].all() and not place.cells[:, held:].any()


@pytest.mark.parametrize(("share", "held"), [(0.2, 10), (0.7, 9)])
def test_a_cell_counts_from_a_share_on(backbone: Backbone, view: View, share: float, held: int) -> None:
    assert place_of(backbone, view, cell_share=share).cells.sum(1).tolist() == [held] * CELLS


@pytest.mark.parametrize("options", [{"cell_share": 1.0}, {"local_blend": False}])
def test_the_cells_may_be_left_to_the_maps(backbone: Backbone, view: View, options: dict[str, Any]) -> None:
    assert place_of(backbone, view, **options).cells is None


def test_what_the_user_excludes_is_no_cell(backbone: Backbone, view: View) -> None:
    exclude = np.zeros((SIDE, SIDE), bool)
    exclude[:20] = True
    cells = place_of(backbone, view, exclude_mask=exclude, refinement="plain").cells
    assert not cells[:4].any() and cells[6:, :7].all()


def test_the_users_masks_hold_to_the_pixel(backbone: Backbone, view: View) -> None:
    include, exclude = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
    include[50:53, 60:63] = True  # far too small for a cell of the maps, and for what is not noise
    exclude[3:5, 7:9] = True
    place = place_of(backbone, view, include_mask=include, exclude_mask=exclude)
    fine = place.fine_mask(place.soft_mask()) > 0
    assert fine[include].all() and not fine[exclude].any()
    assert not fine[30:, 50:][~include[30:, 50:]].any()


@pytest.mark.parametrize(("start", "first"), [(0.0, 0), (0.2, 2), (0.5, 5), (0.05, 1), (1.0, None)])
def test_the_blend_begins_after_a_share_of_the_steps(
    backbone: Backbone, view: View, start: float, first: int | None
) -> None:
    place, edit = place_of(backbone, view, blend_start=start), plan(backbone)
    latents, source = torch.ones(1, 4, CELLS, CELLS), torch.zeros(1, 4, CELLS, CELLS)
    blended = [not place.blend(latents, source, maps_of(edit), step).all() for step in range(10)]
    assert blended.index(True) == first if first is not None else not any(blended)
    assert blended == sorted(blended), "once begun it goes on"


@pytest.mark.parametrize("side", [1, 4, 32])
def test_what_the_user_includes_is_edited_whole_however_large_the_photo(backbone: Backbone, side: int) -> None:
    photo, geometry = open_photo(picture(900, 1200)), plan_geometry((1200, 900), SIDE, 8)
    large = View(photo, geometry, to_pixels(photo, geometry), torch.zeros(1, 4, 12, CELLS))
    include, exclude = np.zeros((900, 1200), bool), np.zeros((900, 1200), bool)
    include[700 : 700 + side, 1000 : 1000 + side] = True
    exclude[702, 1002] = True
    settings = EditSettings(include_mask=include, exclude_mask=exclude, refinement="plain")
    edit = plan_edit(backbone, "a photo of a rose", "a photo of a cat", (1200, 900), settings, sampled=range(10))
    place = Place(edit, maps_of(edit), large)
    fine = place.fine_mask(place.soft_mask())
    far = cv2.dilate(exclude.astype(np.uint8), np.ones((17, 17))) == 0  # to what is excluded it fades
    assert (fine[include & far] == 255).all() and (fine[include & ~exclude] > 0).all() and fine[702, 1002] == 0


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_a_small_mark_of_the_users_is_edited_too(backbone: Backbone, view: View, share: float) -> None:
    include = np.zeros((SIDE, SIDE), bool)
    include[50:52, 57:59] = True  # within one cell of four pixels, of which it fills a fourth
    with_mark = place_of(backbone, view, include_mask=include, cell_share=share).cells
    assert with_mark[12, 14]
    assert with_mark[:, 11:].sum() == 1, "no more than what it touches"


@pytest.mark.parametrize(
    ("caption", "new", "options", "added"),
    [
        ("a red rose", "a green rose", {}, []),
        ("a rose", "a red rose", {}, []),
        ("a red rose", "a rose", {}, []),
        ("a rose on a table", "a cat on a table", {}, []),
        ("a rose", "a rose with a hat", {}, ["hat"]),
        ("a red rose", "a green rose with a hat", {}, ["hat"]),
        ("a rose", "a rose with a red hat", {}, ["red", "hat"]),
        ("a rose", "a rose with a hat", {"blend_words": ["rose"]}, []),
        ("a rose", "a rose with a hat", {"blend_words": ["rose", "hat"]}, ["hat"]),
        ("a red rose", "a green rose", {"blend_words": ["green"]}, ["green"]),
        ("a rose", "a rose", {"reweight": {"rose": 2.0}}, []),
    ],
)
def test_what_is_added_alone_can_tell_where_it_is(
    backbone: Backbone, caption: str, new: str, options: dict[str, Any], added: list[str]
) -> None:
    region = plan_edit(backbone, caption, new, (SIDE, SIDE), EditSettings(**options), sampled=range(10)).region
    assert [word.text for word in region.added_words] == added


@pytest.mark.parametrize(("options", "follows"), [({}, False), ({"mask_grows": True}, True)])
def test_a_mask_grows_where_that_is_asked(
    backbone: Backbone, view: View, options: dict[str, Any], follows: bool
) -> None:
    edit, place = plan(backbone, **options), place_of(backbone, view, **options)
    cross = torch.zeros(1, 4, 4, 77)
    cross[:, :, 2:, list(edit.region.target_words[0].positions)] = 1  # in the other half of the frame
    grown = place.soft_mask(AttentionMaps(cross.flatten(1, 2), torch.eye(16), 4, 4)) > 0.5
    assert place.follows == follows and grown[:, :2].all()
    assert (grown[:, 2:] == follows).all()
