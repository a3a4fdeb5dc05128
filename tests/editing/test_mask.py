"""The mask before an edit, and that of the edit."""

from __future__ import annotations

import numpy as np
import pytest

from backbones.errors import EditRealError
from editing.editor import Editor
from inversion.trajectory import Trajectory
from tests.editing.edits import CAPTION, NEW, half, picture

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

PLAIN = {"refinement": "plain", "attempts": 1}  # without a recut by colour, which may shrink a mask that grew


@pytest.fixture
def trajectory(editor: Editor) -> Trajectory:
    return editor.invert(picture(), CAPTION, inversion="direct", steps=3)


def test_it_is_the_edits_own_where_only_the_old_captions_words_place_it(editor: Editor, trajectory: Trajectory) -> None:
    options = {"blend_words": ["rose"], "protect_words": ["photo"], "exclude_mask": half(48, 40, left=True)}
    before = editor.mask(trajectory, "a photo of a red cat", **options)
    after = editor.edit(trajectory, "a red cat", **options).mask  # "photo" is a word of the old caption alone too
    assert before.mode == "L" and before.size == (40, 48)
    assert before.getextrema()[1] > 0
    assert before.tobytes() == after.tobytes()


def test_an_edit_only_adds_where_nothing_is_protected(editor: Editor, trajectory: Trajectory) -> None:
    before, after = editor.mask(trajectory, NEW, **PLAIN), editor.edit(trajectory, NEW, mask_grows=True, **PLAIN).mask
    assert before.getextrema()[1] > 0
    began, ended = np.asarray(before) > 0, np.asarray(after) > 0
    assert (began & ~ended).sum() < 0.01 * began.sum()  # where the steeper border's interpolation overshoots
    assert ended.sum() > began.sum()


def test_an_edit_that_adds_nothing_keeps_to_where_it_begins(editor: Editor, trajectory: Trajectory) -> None:
    assert editor.edit(trajectory, NEW, **PLAIN).mask.tobytes() == editor.mask(trajectory, NEW, **PLAIN).tobytes()


def test_nothing_is_sampled(editor: Editor, trajectory: Trajectory) -> None:
    rows: list[int] = []
    handle = editor.backbone.denoiser.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        editor.mask(trajectory, NEW)
    finally:
        handle.remove()
    assert sum(rows) == trajectory.steps  # one row for each of the steps that an edit will want to know


def test_what_a_new_caption_only_adds_has_no_place_yet(editor: Editor, trajectory: Trajectory) -> None:
    new = "a photo of a red rose with a hat"
    assert editor.mask(trajectory, new, blend_words=["hat"], **PLAIN).getextrema() == (0, 0)
    assert np.asarray(editor.edit(trajectory, new, blend_words=["hat"], **PLAIN).mask).any()


def test_masks_of_the_user_and_a_region_are_taken_in(editor: Editor) -> None:
    left, right = half(48, 40, left=True), half(48, 40, left=False)
    region = (8, 0, 40, 40)
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=2, region=region)
    mask = np.asarray(editor.mask(trajectory, NEW, include_mask=right, exclude_mask=left, feather=0.0))
    seen = np.zeros((48, 40), bool)
    seen[:40, 8:] = True
    assert np.array_equal(mask > 0, right & seen)


def test_it_refuses_what_an_edit_would(editor: Editor, trajectory: Trajectory) -> None:
    with pytest.raises(EditRealError, match="'hat'"):
        editor.mask(trajectory, NEW, protect_words=["hat"])
    with pytest.raises(EditRealError, match="of another photo"):
        editor.mask(trajectory, NEW, photo=picture(seed=1))


def test_an_edit_is_the_same_whether_its_mask_was_asked_for_or_not(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=5)
    plain = editor.edit(trajectory, NEW, **PLAIN).image.tobytes()
    editor.forget(trajectory)
    editor.mask(trajectory, NEW, **PLAIN)
    assert editor.edit(trajectory, NEW, **PLAIN).image.tobytes() == plain
