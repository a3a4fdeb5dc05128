"""Signs of how an edit came out: each tells one fault from none."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from backbones.text import parse_caption
from editing.align import Alignment, align_captions
from editing.editor import Editor
from editing.signs import of_the_color, of_the_detail, of_the_map, of_the_mask
from masks.aggregate import AttentionMaps
from tests.editing.edits import edit, half, picture

SIGNS = {
    *("seen", "seen_early", "asks_thing", "thing_seen", "thing_seen_early"),
    *("one_thing", "stands_out", "fits_map", "beyond_map"),
    *("asked_color", "asked_color_before", "detail"),
}


def align(tokenizer: CLIPTokenizer, source: str, target: str) -> Alignment:
    return align_captions(parse_caption(tokenizer, source), parse_caption(tokenizer, target))


def blobs(*boxes: tuple[int, int, int, int], side: int = 64) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = 255
    return mask


def test_one_thing_or_several() -> None:
    assert of_the_mask(blobs((8, 8, 24, 24)))["one_thing"] == 100
    assert of_the_mask(blobs((8, 8, 24, 24), (40, 40, 56, 56)))["one_thing"] == 50
    assert math.isnan(of_the_mask(blobs())["one_thing"])
    large = blobs((128, 128, 640, 640), side=1024)
    large[::64, 900] = 255  # specks, which a person would not see
    assert of_the_mask(large)["one_thing"] > 99


def maps_of(heat: np.ndarray) -> AttentionMaps:
    height, width = heat.shape
    cross = torch.from_numpy(heat).float().reshape(1, -1, 1).expand(-1, -1, 3).clone()
    return AttentionMaps(cross, torch.eye(height * width), height, width)


def test_a_clear_map_stands_out_and_a_diffuse_one_does_not(tokenizer: CLIPTokenizer) -> None:
    words = [parse_caption(tokenizer, "rose").words[0]]
    left, nothing, everything = blobs((0, 0, 64, 32)), blobs(), blobs((0, 0, 64, 64))
    clear = np.where(half(8, 8, left=True), 0.9, 0.1)
    diffuse = np.linspace(0, 1, 64).reshape(8, 8)
    of_clear, of_diffuse = (of_the_map(maps_of(heat), words, 0, left) for heat in (clear, diffuse))
    assert of_clear["stands_out"] == pytest.approx(100)
    assert of_diffuse["stands_out"] == pytest.approx(75, abs=1)  # of a ramp, as Otsu's criterion has it
    assert of_clear["beyond_map"] == pytest.approx(0)
    assert of_the_map(maps_of(clear), words, 0, everything)["beyond_map"] == pytest.approx(1)
    for some, mask in ((words, nothing), ([], left)):
        assert all(math.isnan(value) for value in of_the_map(maps_of(clear), some, 0, mask).values())
    assert of_the_map(maps_of(np.ones((8, 8))), words, 0, left)["stands_out"] == 0


def test_a_mask_fits_the_map_that_it_came_of(tokenizer: CLIPTokenizer) -> None:
    words = [parse_caption(tokenizer, "rose").words[0]]
    maps = maps_of(np.where(half(8, 8, left=True), 0.9, 0.1))
    left, right, everything = ((0, 0, 64, 32), (0, 32, 64, 64), (0, 0, 64, 64))
    fits = [of_the_map(maps, words, 0, blobs(box))["fits_map"] for box in (left, right, everything)]
    assert fits == pytest.approx([100, 0, 50])


def test_the_asked_colour_is_counted_where_the_mask_is(tokenizer: CLIPTokenizer) -> None:
    red, white = (np.full((32, 32, 3), color, np.uint8) for color in ((200, 30, 40), (250, 250, 250)))
    mask = np.where(half(32, 32, left=True), 255, 0).astype(np.uint8)
    result = red.copy()
    result[:, :8] = white[:, :8]
    found = of_the_color(align(tokenizer, "a red rose", "a white rose"), red, result, mask)
    assert found == {"asked_color": 50, "asked_color_before": 0}
    exchanged = align(tokenizer, "a red rose and a white tulip", "a white rose and a red tulip")
    assert all(math.isnan(value) for value in of_the_color(exchanged, red, red, mask).values()), "it has both already"
    thing = align(tokenizer, "a red rose", "a red cat")
    assert all(math.isnan(value) for value in of_the_color(thing, red, result, mask).values())


def test_a_smear_has_less_detail() -> None:
    source = picture(64, 64) / 255
    smear = cv2.GaussianBlur(source, (0, 0), 3)
    everywhere = np.ones((64, 64), bool)
    assert of_the_detail(source, source, everywhere)["detail"] == 0
    assert of_the_detail(smear, source, everywhere)["detail"] < -0.5
    assert of_the_detail(source, smear, everywhere)["detail"] > 0.5
    assert math.isnan(of_the_detail(source, source, ~everywhere)["detail"])


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_an_edit_has_them_all(editor: Editor) -> None:
    found = edit(editor, picture(), mask_threshold=0.5).metrics
    assert found.keys() >= SIGNS
    assert {name for name in SIGNS if math.isnan(found[name])} == {
        "asked_color",
        "asked_color_before",
    }
    nothing = edit(editor, picture(), new="a photo of a red rose").metrics
    assert math.isnan(nothing["seen"]) and math.isnan(nothing["seen_early"])
    painted = edit(editor, picture(), include_mask=half(48, 40, left=True)).metrics
    assert math.isnan(painted["beyond_map"]) and math.isnan(painted["stands_out"])
    held_back = edit(editor, picture(), exclude_mask=half(48, 40, left=True)).metrics
    assert math.isnan(held_back["fits_map"]) and not math.isnan(held_back["stands_out"])
    for unlike in ({"local_blend": False}, {"mask_grows": True}, {"protect_words": ["rose"], "blend_words": ["photo"]}):
        of_other_places = edit(editor, picture(), **unlike).metrics
        assert math.isnan(of_other_places["fits_map"]) and not math.isnan(of_other_places["stands_out"])
    added = edit(editor, picture(), new="a photo of a red cat with a hat").metrics
    assert math.isnan(added["fits_map"])
    color = edit(editor, picture(), new="a photo of a green rose", mask_threshold=0.5).metrics
    assert color["asks_thing"] == 0 and math.isnan(color["thing_seen"]) and not math.isnan(color["asked_color"])
    assert found["asks_thing"] == 1 and found["thing_seen"] == found["seen"]
    weighed = edit(editor, picture(), new="a photo of a red rose", reweight={"rose": 3.0}).metrics
    assert math.isnan(weighed["seen"]) and not math.isnan(weighed["one_thing"])
