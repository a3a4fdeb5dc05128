"""What an edit makes of its captions' words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from backbones.photo import open_photo
from editing.editor import Editor
from editing.pictures.heat import heat_image
from tests.editing.edits import CAPTION, NEW, assert_untouched_outside, edit, picture, pixels

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)


def test_words_in_another_order_move_nothing_and_that_is_said(editor: Editor) -> None:
    old, new = "a cat and a rose", "a rose and a cat"
    assert any("in another order" in warning for warning in edit(editor, picture(), old, new).warnings)
    swapped = edit(editor, picture(), "a red rose, a green cat", "a green rose, a red cat")
    assert not any("in another order" in warning for warning in swapped.warnings)
    assert {"red", "green"} <= set(swapped.settings["source_words"])


def test_a_caption_that_is_too_long_is_cut_with_a_warning(editor: Editor) -> None:
    result = edit(editor, picture(), new=NEW + " with a hat" * 9)
    assert any("longer than" in warning for warning in result.warnings)
    assert not any("longer than" in warning for warning in edit(editor, picture()).warnings)


@pytest.mark.parametrize(
    ("caption", "new"), [(CAPTION, "a photo of a red tulip"), ("a photo of a tulip", "a photo of a rose")]
)
@pytest.mark.parametrize("control", ["replace", "refine"])
def test_words_of_several_tokens(editor: Editor, caption: str, new: str, control: str) -> None:
    result = edit(editor, picture(), caption, new, control=control)
    assert_untouched_outside(result, picture())
    assert caption.split()[-1] in result.heat_maps


@pytest.mark.parametrize("weight", [5.0, 0.0, -3.0])
def test_reweighting_alone_is_an_edit(editor: Editor, weight: float) -> None:
    result = edit(editor, picture(), new=CAPTION, reweight={"rose": weight})
    assert_untouched_outside(result, picture())
    assert result.settings["source_words"] == ["rose"]


def test_a_word_that_stands_twice_has_one_map_of_both(editor: Editor) -> None:
    caption = "a photo of a red rose and a red cat"
    trajectory = editor.invert(picture(), caption, inversion="direct", steps=3)
    heat = editor.edit(trajectory, caption + " with a hat", refinement="plain", attempts=1).heat_maps
    assert list(heat) == ["photo", "red", "rose", "cat"]
    photo, parsed = trajectory.geometry, editor.backbone.parse(caption)
    maps = editor.attention(trajectory)
    first, second = (
        heat_image(maps, word.positions, open_photo(picture()), photo) for word in parsed.words if word.key == "red"
    )
    assert heat["red"].tobytes() not in (first.tobytes(), second.tobytes())


WHITE = "a photo of a white rose"


@pytest.mark.parametrize(
    ("new", "kind", "suits"), [(WHITE, None, 1.0), (NEW, None, 0.0), (NEW, "colour", 1.0), (WHITE, "thing", 0.0)]
)
def test_a_colour_keeps_the_texture_and_a_new_thing_does_not(
    editor: Editor, new: str, kind: str | None, suits: float
) -> None:
    trajectory = editor.invert(picture(96, 96), CAPTION, inversion="direct", steps=3)
    chosen, *others = (
        pixels(editor.edit(trajectory, new, kind=kind, local_blend=False, texture=texture).image)
        for texture in (None, 0.0, 1.0)
    )
    same = [np.array_equal(chosen, other) for other in others]
    assert same == [suits == 0.0, suits == 1.0]


def test_the_warnings_name_words_that_the_model_was_never_shown(editor: Editor) -> None:
    knowing = Editor(dataclasses.replace(editor.backbone, known_words=frozenset(CAPTION.split())))
    assert any("'cat'" in warning and "'rose'" not in warning for warning in edit(knowing, picture()).warnings)
