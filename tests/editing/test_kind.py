"""The kind of an edit is read from its captions, and chooses settings that nobody has chosen."""

from __future__ import annotations

import pytest
from transformers import CLIPTokenizer

from backbones.errors import EditRealError
from backbones.text import parse_caption
from editing.align import align_captions
from editing.editor import Editor
from editing.kind import KINDS, POLICY, fill_in, kind_of
from editing.recipe import Recipe
from editing.settings import EditSettings
from tests.editing.edits import CAPTION, NEW, edit, picture


def kind(tokenizer: CLIPTokenizer, source: str, target: str, **options: object) -> str:
    alignment = align_captions(parse_caption(tokenizer, source), parse_caption(tokenizer, target))
    return kind_of(alignment, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("a photo of a red rose", "a photo of a white rose", "colour"),
        ("a photo of a rose", "a photo of an orange rose", "colour"),
        ("a red rose and a white tulip", "a white rose and a red tulip", "colour"),
        ("a rose in a red-white vase", "a rose in a blue vase", "colour"),
        ("red and white shorts", "green and white shorts", "colour"),
        ("the flower is orange", "the flower is pink", "colour"),
        ("yellow pears", "a red pear", "colour"),
        ("a pink rose", "a burgundy rose", "colour"),
        ("the wall is red", "the wall is blue", "scene"),
        ("a gray cat", "a grey cat", "plain"),
        ("a photo of a cat", "a photo of a dog", "thing"),
        ("a red rose", "a yellow tulip", "thing"),
        ("a photo of an orange", "a photo of an apple", "thing"),
        ("a rose with a red background", "a rose with a blue background", "scene"),
        ("a rose", "a rose with a blue background", "scene"),
        ("a cat on a beach", "a cat in the snow", "scene"),
        ("a photo of a rose", "a painting of a rose", "style"),
        ("a rose", "a watercolor drawing of a rose", "style"),
        ("a cat", "a cat in the style of a comic", "style"),
        ("a painting of a rose", "a photo of a rose", "style"),
        ("a drawing of a cat", "a painting of a cat", "style"),
        ("a rose", "a painting of a rose", "style"),
        ("a photo of a rose", "a black and white photo of a rose", "style"),
        ("a blurry photo of a rose", "a photo of a rose", "style"),
        ("a cat in the style of a comic", "a cat in the style of a cartoon", "style"),
        ("a cat in the style of monet", "a cat in the style of picasso", "style"),
        ("a cat", "a cat in comic style", "style"),
        ("a rose, a photo", "a rose, a painting", "style"),
        ("a rose.", "a rose, a painting.", "style"),
        ("a rose, a vase", "a rose, a painting of a vase", "added"),
        ("a photo of a cat", "a photo of a cat, oil painting", "style"),
        ("a mirror on the wall", "a painting on the wall", "thing"),
        ("a clock on the wall", "a poster on the wall", "thing"),
        ("a red pen on a desk", "a pencil on a desk", "thing"),
        ("a child playing at a table", "a child drawing at a table", "plain"),
        ("a boy", "a boy drawing", "plain"),
        ("a dog photo", "a cat photo", "thing"),
        ("a red cup and a picture on a table", "a blue cup and a picture on a table", "colour"),
        ("a woman with a short hair style", "a woman with a long hair style", "thing"),
        ("a photo of a red rose", "a picture of a white rose", "colour"),
        ("a rose", "a photo of a rose", "plain"),
        ("a photo of a red rose", "a red cat", "thing"),
        ("a red rose", "a photo of a white rose", "colour"),
        ("a painting of a rose", "a rose", "removed"),
        ("a red poster", "a blue poster", "colour"),
        ("a man painting a fence", "a man painting a wall", "scene"),
        ("a cat holding a photo", "a cat holding a hat", "thing"),
        ("a cat", "a cat with a hat", "added"),
        ("a cat with a hat", "a cat", "removed"),
        ("a rose with a red background", "a rose", "removed"),
        ("a cat and a dog", "a dog and a cat", "plain"),
        ("a cat", "the cat", "plain"),
    ],
)
def test_captions_tell_it(tokenizer: CLIPTokenizer, source: str, target: str, expected: str) -> None:
    assert kind(tokenizer, source, target) == expected
    assert expected in KINDS


def test_weights_alone_turn_a_word_up_or_down(tokenizer: CLIPTokenizer) -> None:
    assert kind(tokenizer, "a red rose", "a red rose", weighed=True) == "weighed"
    assert kind(tokenizer, "a red rose", "a red cat", weighed=True) == "thing"


def test_a_model_may_have_colours_of_its_own(tokenizer: CLIPTokenizer) -> None:
    assert kind(tokenizer, "a red rose", "a cerise rose") == "thing"
    assert kind(tokenizer, "a red rose", "a cerise rose", colors=("cerise",)) == "colour"


def test_policies_are_settings_of_kinds() -> None:
    assert set(POLICY) < set(KINDS) - {"plain"}
    for chosen in POLICY.values():
        assert fill_in(EditSettings(), chosen) != EditSettings()


def test_what_was_set_otherwise_stays() -> None:
    chosen = {"emphasis": 4.0, "mask_rule": "midrange"}
    assert fill_in(EditSettings(emphasis=1.5), chosen) == EditSettings(emphasis=1.5, mask_rule="midrange")
    assert fill_in(EditSettings(), {}) == EditSettings()


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_an_edit_follows_its_kind_and_says_so(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = {"thing": {"emphasis": 3.0}}
    monkeypatch.setattr("editing.kind.POLICY", policy)
    result = edit(editor, picture())
    assert result.settings["kind"] == "thing" and result.settings["emphasis"] == 3.0
    assert edit(editor, picture(), emphasis=1.0).settings["emphasis"] == 1.0
    for other in ("plain", "colour"):
        told = edit(editor, picture(), kind=other).settings
        assert told["kind"] == other and told["emphasis"] == EditSettings().emphasis

    again = Recipe.from_json(result.recipe.to_json())
    assert again.settings["kind"] == "plain" and again.settings["emphasis"] == 3.0
    policy["thing"]["emphasis"] = 0.5  # of a later version
    assert edit(editor, picture(), **again.options()).image.tobytes() == result.image.tobytes()


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_a_style_is_of_all_the_picture_unless_the_user_says_where(editor: Editor) -> None:
    painting = "a painting of a red rose"
    for options, expected in (
        ({}, 100.0),
        ({"blend_words": ["rose"]}, None),
        ({"kind": "plain"}, None),
        ({"protect_words": ["rose"]}, None),
    ):
        result = edit(editor, picture(), new=painting, **options)
        assert (result.metrics["mask_share"] == 100.0) == (expected is not None), options
        assert result.trouble != "wide" or expected is None


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(EditRealError, match="expected kind among colour, thing"):
        EditSettings(kind="magic")
    assert CAPTION != NEW
