"""A proposal is the caption under which the model sees its own noise best, and None where none helps."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.backbone import Backbone
from backbones.photo import open_photo
from backbones.view import View, look_at
from editing import propose
from editing.editor import Editor
from editing.propose import COLOR_WORDS, NO_THINGS, caption_gains, phrase, propose_caption, things_of
from editing.witness import noise_errors
from tests.editing.edits import picture
from training.export import KINDS

one_model = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

WORDS = {
    "animals": ("cat", "cats", "dog"),
    "flowers": ("rose", "daisies", "daisy"),
    "colours": ("red", "green"),
    "phrases": ("a", "photo"),
    "anything": ("object", "objects"),
}


@pytest.fixture
def view(backbone: Backbone) -> View:
    return look_at(backbone, open_photo(picture(40, 40)))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, float]], list[str]]:
    """Puts losses of 1, less what a caption's words are worth, in the model's place, and lists the rows asked for."""

    def answer(worth: dict[str, float]) -> list[str]:
        rows: list[str] = []

        def losses(
            _: Backbone, __: object, captions: Sequence[str], levels: Sequence[float], *, seed: int
        ) -> torch.Tensor:
            rows.extend(list(captions) * len(levels))
            each = [1 - sum(worth.get(word, 0.0) for word in re.findall(r"[\w-]+", caption)) for caption in captions]
            return torch.tensor([each] * len(levels))

        monkeypatch.setattr(propose, "noise_errors", losses)
        return rows

    return answer


@one_model
def test_a_gain_is_a_share_of_the_loss_without(backbone: Backbone, view: View) -> None:
    captions, levels = ["a cat", "a dog"], (0.3, 0.6)
    means = noise_errors(backbone, view.latents, ["", *captions], levels, seed=5).mean(0)
    gains = caption_gains(backbone, view.latents, captions, "", levels, 5)
    torch.testing.assert_close(gains, (means[0] - means[1:]) / means[0])


@one_model
@pytest.mark.parametrize(
    ("worth", "caption"),
    [
        ({"cat": 0.1, "dog": 0.05}, "a photo of a cat"),
        ({"cat": 0.1, "cats": 0.2}, "a photo of cats"),
        ({"daisy": 0.1, "daisies": 0.12}, "a photo of daisies"),
    ],
)
def test_the_best_words_are_proposed(
    backbone: Backbone, view: View, asked: Callable, worth: dict[str, float], caption: str
) -> None:
    asked(worth)
    found = propose_caption(dataclasses.replace(backbone, words=WORDS), view, least_color=1.1)
    assert found is not None and found.caption == caption and found.color is None
    assert found.gain == pytest.approx(worth[found.thing])


@one_model
def test_a_noun_must_say_more_than_object_does(backbone: Backbone, view: View, asked: Callable) -> None:
    known = dataclasses.replace(backbone, words=WORDS)
    asked({"object": 0.5, "rose": 0.5})
    found = propose_caption(known, view, least=-1)
    assert found is not None and found.gain == pytest.approx(0)
    assert propose_caption(known, view) is None


@one_model
@pytest.mark.parametrize(
    ("shown", "words", "caption"),
    [
        ((220, 25, 30), ("green", "red"), "a photo of a red cat"),
        ((250, 140, 20), ("crimson", "orange"), "a photo of an orange cat"),
        ((105, 105, 105), ("shiny", "grey"), "a photo of a grey cat"),
        ((220, 25, 30), ("green", "blue"), "a photo of a cat"),
        ((220, 25, 30), ("shiny",), "a photo of a cat"),
    ],
)
def test_the_colour_is_that_of_the_pixels(
    backbone: Backbone, asked: Callable, shown: tuple[int, int, int], words: tuple[str, ...], caption: str
) -> None:
    asked({"cat": 0.1})
    view = look_at(backbone, open_photo(Image.new("RGB", (40, 40), shown)))
    found = propose_caption(dataclasses.replace(backbone, words={**WORDS, COLOR_WORDS: words}), view)
    assert found is not None and found.caption == caption
    assert found.color_share == pytest.approx(float(found.color is not None))


@one_model
def test_only_pixels_where_the_thing_is_seen_are_of_its_colour(
    backbone: Backbone, asked: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked({"cat": 0.1})
    sides = np.full((40, 40, 3), (30, 80, 200), np.uint8)
    sides[:, :10] = (40, 150, 50)
    monkeypatch.setattr(propose, "word_heat", lambda maps, positions: (torch.arange(16) < 4).repeat(16, 1).float())
    words = {**WORDS, COLOR_WORDS: ("blue", "green")}
    found = propose_caption(
        dataclasses.replace(backbone, words=words), look_at(backbone, open_photo(Image.fromarray(sides)))
    )
    assert found is not None and found.color == "green"


@one_model
def test_nothing_is_proposed_where_no_word_helps(backbone: Backbone, view: View, asked: Callable) -> None:
    known = dataclasses.replace(backbone, words=WORDS)
    asked({"cat": 0.001, "dog": -0.1})
    assert propose_caption(known, view, least=0.01) is None
    found = propose_caption(known, view, least=0.0005, least_color=-1)
    assert found is not None and found.thing == "cat" and found.color in ("red", "green")


@one_model
def test_nothing_is_proposed_without_a_list_of_words(backbone: Backbone, view: View) -> None:
    assert not backbone.words
    assert propose_caption(backbone, view) is None
    assert Editor(backbone).propose(picture(40, 40)) is None


@one_model
@pytest.mark.parametrize("count", [1, 11, 66])
def test_it_asks_for_at_most_190_rows(backbone: Backbone, view: View, asked: Callable, count: int) -> None:
    things = [f"thing{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}" for i in range(count)]
    words = {"things": (*things, *(thing + "s" for thing in things))}
    rows = asked({things[-1] + "s": 0.2, things[-1]: 0.1})
    found = propose_caption(dataclasses.replace(backbone, words=words), view)
    assert found is not None and found.caption == f"a photo of {things[-1]}s"
    assert len(rows) <= 190


def test_things_are_nouns_with_their_plurals() -> None:
    assert things_of(WORDS) == [("cat", "cats"), ("dog",), ("rose",), ("daisy", "daisies")]
    words = {"clothes": ["dress", "dresses", "shorts"], "fruit": ["orange", "peach", "peaches"], "colours": ["orange"]}
    assert things_of(words) == [("dress", "dresses"), ("shorts",), ("orange",), ("peach", "peaches")]


def test_captions_are_plain_english() -> None:
    said = [phrase("rose"), phrase("apple"), phrase("apple", "red"), phrase("tulip", "orange"), phrase("dress")]
    assert said == [f"a photo of {one}" for one in ("a rose", "an apple", "a red apple", "an orange tulip", "a dress")]
    assert [phrase("shorts", "blue"), phrase("roses")] == ["a photo of blue shorts", "a photo of roses"]


def test_the_kinds_that_are_no_things_are_those_of_the_training() -> None:
    assert set(NO_THINGS) <= set(KINDS.values())
    assert KINDS["color"] == COLOR_WORDS


def test_the_bundled_model_lists_its_words(bundled: Backbone) -> None:
    single = {part for words in bundled.words.values() for word in words for part in word.split()}
    assert single == bundled.known_words
    assert things_of(bundled.words) and bundled.words[COLOR_WORDS]
