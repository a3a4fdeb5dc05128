"""Edits by the inversions that walk back in a way of their own, under every control that suits them."""

from __future__ import annotations

import numpy as np
import pytest

from editing.editor import Editor
from inversion.invert import METHODS
from inversion.walk import Retrace
from tests.editing.edits import CAPTION, NEW, assert_untouched_outside, edit, half, picture, pixels

WITH_A_WAY = [name for name, method in METHODS.items() if method.walk is not Retrace]

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)


@pytest.mark.parametrize("control", ["replace", "mutual", "plug_and_play"])
@pytest.mark.parametrize("inversion", WITH_A_WAY)
def test_every_control_edits_and_leaves_what_is_outside_the_mask(editor: Editor, inversion: str, control: str) -> None:
    photo = picture()
    result = edit(
        editor, photo, inversion=inversion, control=control, steps=4, guidance_scale=3.0,
        include_mask=half(48, 40, left=True), exclude_mask=half(48, 40, left=False),
    )  # fmt: skip
    assert_untouched_outside(result, photo)
    assert result.settings["inversion"] == inversion


@pytest.mark.parametrize("inversion", ["edict", "edit_friendly"])
def test_the_caption_unchanged_is_the_photo_at_the_inversions_guidance(editor: Editor, inversion: str) -> None:
    """Without emphasis and blend, where the edit is guided as the source was, it is the source."""
    result = edit(
        editor, picture(), CAPTION, CAPTION, inversion=inversion, steps=4, guidance_scale=3.5, emphasis=1.0,
        local_blend=False, exact=False,
    )  # fmt: skip
    assert np.abs(pixels(result.drawn) - pixels(result.reconstruction)).max() <= 1


@pytest.mark.parametrize("inversion", ["none", "edit_friendly"])
def test_the_seed_decides(editor: Editor, inversion: str) -> None:
    first, again, other = (
        edit(editor, picture(), inversion=inversion, steps=4, guidance_scale=5.0, noise_seed=seed, local_blend=False)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first.drawn, again.drawn)
    assert not np.array_equal(first.drawn, other.drawn)


@pytest.mark.usefixtures("unasked")
def test_a_draft_begins_where_it_is_told(editor: Editor) -> None:
    counted: list[int] = []
    trajectory = editor.invert(picture(), CAPTION, inversion="none", steps=10, skip=0.8)
    handle = editor.backbone.denoiser.register_forward_pre_hook(lambda _, args: counted.append(len(args[0])))
    try:
        editor.edit(trajectory, NEW, refinement="plain", attempts=1)
    finally:
        handle.remove()
    assert counted == [2, 4, 2, 2]  # two steps, after they and the words at four more were looked at
