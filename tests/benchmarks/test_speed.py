from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from backbones.photo import open_photo
from benchmarks import speed
from benchmarks.speed import Timing, edit_table, spread, time_eight, time_large, ways_for
from benchmarks.stopwatch import SHARED, Watch, watched
from benchmarks.ways import OurWay, PublishedWay, Way
from editing.editor import Editor
from tests.benchmarks.test_quality import SIDE, make_edit

CPU = torch.device("cpu")


@pytest.fixture
def editor(backbone: Backbone) -> Editor:
    if backbone.levels.prediction_type != "epsilon":
        pytest.skip("the published way is of models that predict epsilon")
    return Editor(backbone)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_published_way_asks_for_four_rows_a_step_and_gradients(editor: Editor, frozen: bool) -> None:
    way, edit = PublishedWay(editor, steps=2, frozen=frozen), make_edit()
    with watched(CPU, way.denoisers) as watch:
        inverted = way.invert(open_photo(edit.photo), edit.caption)
        (drawn,) = way.edit(inverted, [edit.new_caption])
    # Inversion 1, then a conditional row and the pair that moves on, then the edit's four, in each of two steps.
    assert watch.rows["plain"] == 2 * (1 + 1 + 2 + 4)
    assert watch.rows["graded"] == watch.rows["backward"] and 2 <= watch.rows["graded"] <= 20
    assert drawn.image.shape == (32, 32, 3) and drawn.mask.shape == (32, 32)


def test_our_way_gives_what_the_editor_gives(editor: Editor) -> None:
    way, edit = OurWay(editor, {"steps": 2}), make_edit()
    inverted = way.invert(open_photo(edit.photo), edit.caption)
    first, second = way.edit(inverted, [edit.new_caption, "a photo of a blue rose"])
    expected = editor.edit_many(inverted, [edit.new_caption, "a photo of a blue rose"])
    for drawn, result in zip((first, second), expected, strict=True):
        np.testing.assert_array_equal(drawn.image, np.asarray(result.drawn))
        assert drawn.mask.shape == drawn.image.shape[:2]


def test_time_is_measured_and_what_ran_beside_is_told() -> None:
    with watched(CPU) as watch:
        time.sleep(0.05)
    assert 0.05 <= watch.seconds < 5
    assert Watch(seconds=1.0, waited=SHARED / 2).alone and not Watch(seconds=1.0, waited=2 * SHARED).alone
    assert Watch(seconds=1.0, waited=math.nan).alone  # where the system does not tell, nothing can be dropped


def timing(photo: str, way: str, what: str, seconds: float, waited: float = 0.0) -> Timing:
    worth = {"colour": 50.0, "background": 20.0, "iou": 0.5} if what == "first edit" else {}
    return Timing(photo, way, what, Watch(seconds, waited, 10.0), worth)


def test_ratios_are_of_the_same_photo_and_what_had_to_wait_is_left_out() -> None:
    timings = [
        timing("a", "published", "first edit", 10.0),
        timing("a", "ours", "first edit", 1.0),
        timing("b", "published", "first edit", 30.0),
        timing("b", "ours", "first edit", 2.0),
        timing("c", "published", "first edit", 99.0, waited=0.5),
        timing("c", "ours", "first edit", 1.0),
        timing("a", "ours", "second edit", 0.25),
        Timing("a", "ours", "memory", Watch(mib=123.4), {}),
    ]
    row = edit_table(timings, ["published", "ours"]).splitlines()[-1]
    assert "12.50 (10.00 to 15.00)" in row and "0.25 (0.25 to 0.25)" in row and "| 123 |" in row
    assert spread([]) == "dropped" and spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"


@pytest.mark.usefixtures("unasked")
def test_eight_later_edits_take_two_rows_a_step_each(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OurWay, "invert", lambda self, photo, text: self.editor.invert(photo, text, steps=2))
    monkeypatch.setattr("editing.make.make_with_second_thoughts", lambda make, plans: make(plans))
    together, singly = time_eight(make_edit(asked_color="green"), editor)
    assert together.watch.rows["plain"] == singly.watch.rows["plain"] == 8 * 2 * 2


def test_a_large_photo_is_masked_and_composited() -> None:
    found = list(time_large(0.2))
    assert [one.what for one in found] == ["mask", "composite"]
    assert all(one.watch.seconds > 0 for one in found)


def both(editor: Editor) -> Sequence[Way]:
    return PublishedWay(editor, steps=2), OurWay(editor, {"steps": 2})


def test_the_ways_see_the_same_photo(editor: Editor) -> None:
    edit = make_edit()
    assert edit.photo.shape == (SIDE, SIDE, 3)
    sizes = []
    for way in both(editor):
        (drawn,) = way.edit(way.invert(open_photo(edit.photo), edit.caption), [edit.new_caption])
        sizes.append(drawn.image.shape)
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("name", ["published", "published, frozen weights", "ours"])
def test_a_ways_memory_is_of_an_edit_that_it_makes(
    editor: Editor, model_folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setitem(speed.WAYS, "ours", lambda editor, steps: OurWay(editor, {"steps": steps}))
    monkeypatch.setattr(speed, "make_backbone", lambda *asked: made.append(asked) or load_backbone(asked[0], "cpu"))
    edit = make_edit()
    mib = speed._peak(name, 2, str(model_folder), None, edit.photo, edit.caption, edit.new_caption)
    assert made == [(str(model_folder), None)] and math.isfinite(mib)


@pytest.mark.slow
def test_memory_is_measured_in_a_process_of_its_own(editor: Editor, model_folder: Path) -> None:
    measured = speed.time_memory(make_edit(), "ours", 2, str(model_folder), None)
    assert measured.what == "memory" and 1 < measured.watch.mib < 500


def test_ways_of_few_steps_serve_models_of_full_size_and_others_are_refused(editor: Editor) -> None:
    assert ways_for(editor.backbone, ["ours"], full_size=False) == ["published", "ours"]
    assert "ours" not in ways_for(editor.backbone, (), full_size=True)
    with pytest.raises(EditRealError, match="expected ways among published"):
        ways_for(editor.backbone, ["theirs"], full_size=False)
    with pytest.raises(EditRealError, match="expected an architecture among Stable Diffusion"):
        speed.make_backbone("bundled", "Stable Diffusion 9")


def test_photos_without_a_change_of_colour_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "read_edits", lambda *_: [])
    with pytest.raises(EditRealError, match="expected photos with a colour swap or colour of clothes"):
        speed.choose([], Path("list.json"), 3)
