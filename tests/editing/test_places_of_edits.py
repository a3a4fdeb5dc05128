"""Where an edit takes place: regions, masks of the user, words that are blended or protected."""

from __future__ import annotations

import numpy as np
import pytest

from backbones.errors import EditRealError
from editing.editor import Editor
from tests.editing.edits import CAPTION, edit, half, picture, pixels

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)


def test_an_edited_region_fades_where_the_photo_goes_on(editor: Editor) -> None:
    result = edit(editor, picture(60, 60), region=(10, 0, 60, 50), local_blend=False, feather=0.2)
    mask = np.asarray(result.mask)
    assert (mask[20, 10:19] < 255).all() and (mask[41:50, 40] < 255).all()
    assert (mask[:40, 25:] == 255).all()


def test_outside_the_region_nothing_changes(editor: Editor) -> None:
    photo = picture(80, 70)
    result = edit(editor, photo, region=(10, 20, 58, 68), local_blend=False)
    outside = np.ones((80, 70), bool)
    outside[20:68, 10:58] = False
    assert np.array_equal(pixels(result.image)[outside], photo[outside])
    assert (np.asarray(result.mask)[outside] == 0).all()
    assert (np.asarray(result.mask)[~outside] > 0).all()


@pytest.mark.parametrize("left", [True, False])
def test_the_excluded_part_is_the_photo(editor: Editor, left: bool) -> None:
    photo, exclude = picture(48, 48), half(48, 48, left=left)
    result = edit(editor, photo, exclude_mask=exclude, local_blend=False)
    assert np.array_equal(pixels(result.image)[exclude], photo[exclude])
    assert (np.asarray(result.mask)[~exclude] > 0).all()


@pytest.mark.parametrize("left", [True, False])
def test_the_included_part_is_in_the_mask(editor: Editor, left: bool) -> None:
    include = half(48, 40, left=left)
    empty = edit(editor, picture(), new=CAPTION)
    result = edit(editor, picture(), new=CAPTION, include_mask=include, refinement="plain")
    mask = np.asarray(result.mask) > 0
    assert not np.asarray(empty.mask).any()
    assert mask[include].all()
    assert mask[~include].mean() < 0.15


def test_exclusion_wins_over_inclusion(editor: Editor) -> None:
    everything = np.ones((48, 40), bool)
    result = edit(editor, picture(), include_mask=everything, exclude_mask=everything)
    assert np.array_equal(pixels(result.image), picture())


def test_a_protected_word_is_not_edited(editor: Editor) -> None:
    assert np.asarray(edit(editor, picture(), blend_words=["rose"]).mask).any()
    result = edit(editor, picture(), blend_words=["rose"], protect_words=["Rose"])
    assert np.array_equal(pixels(result.image), picture())


def test_a_protected_word_is_kept_without_local_blend_too(editor: Editor) -> None:
    free = edit(editor, picture(), local_blend=False)
    assert (np.asarray(free.mask) > 0).all()
    assert not any("raise mask_threshold" in warning for warning in free.warnings)
    assert np.isnan(free.metrics["outside_psnr"])
    mask = np.asarray(edit(editor, picture(), local_blend=False, protect_words=["rose"]).mask) > 0
    rose = np.asarray(edit(editor, picture(), blend_words=["rose"]).mask) > 0
    assert (mask & rose).mean() < 0.1 * rose.mean()
    assert mask[~rose].mean() > 0.8


@pytest.mark.parametrize("name", ["blend_words", "protect_words"])
def test_a_word_that_neither_caption_holds_is_refused(editor: Editor, name: str) -> None:
    with pytest.raises(EditRealError, match="got 'tulip'"):
        edit(editor, picture(), **{name: ["rose", "tulip"]})
    edit(editor, picture(), **{name: ["rose", "cat"]})  # one of each caption


def test_without_local_blend_the_whole_frame_is_edited(editor: Editor) -> None:
    result = edit(editor, picture(48, 48), local_blend=False)
    assert (np.asarray(result.mask) == 255).all()
