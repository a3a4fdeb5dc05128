"""What is said instead of a word that the model was never shown."""

from __future__ import annotations

import pytest

from backbones.backbone import Backbone
from editing.advice import words_to_replace
from editing.align import FUNCTION_WORDS
from editing.verdict import warn_of_captions

COLORS = "'black', 'blue', 'brown', 'gray', 'green', 'grey', 'orange', 'pink', 'purple', 'red', 'white' or 'yellow'"


@pytest.mark.parametrize(
    "caption", [" ".join(sorted(FUNCTION_WORDS)), "two roses and 12 very red tulips: it is 3d, 50 %"]
)
def test_what_shows_nothing_needs_no_other_word(bundled: Backbone, caption: str) -> None:
    assert words_to_replace([bundled.parse(caption)], bundled.known_words or ()) == []


@pytest.mark.parametrize(
    ("caption", "advice"),
    [
        ("a lilac rose", ["'lilac' (say 'purple')"]),
        ("the rose is lilac", ["'lilac' (say 'purple')"]),
        ("a Navy shirt", ["'Navy' (say 'blue')"]),
        ("an ivory rose", ["'ivory' (say 'a white')"]),
        ("a dark-blue dress", ["'dark-blue' (say 'blue')"]),
        ("a beige-and-navy hat", ["'beige-and-navy' (say 'blue' or 'brown')"]),
        ("bright shoes", [f"'bright' (say {COLORS})"]),
        ("a dark red rose", ["'dark' (leave it out)"]),
    ],
)
def test_a_colour_is_told_by_those_that_the_model_knows(bundled: Backbone, caption: str, advice: list[str]) -> None:
    assert words_to_replace([bundled.parse(caption)], bundled.known_words or ()) == advice


@pytest.mark.parametrize(
    ("caption", "advice"),
    [
        ("a day", ["'day' (say 'an object')"]),
        ("the lilac", ["'lilac' (say 'object')"]),
        ("red leaves in crates", ["'leaves' (say 'objects')", "'crates' (say 'objects')"]),
        ("a wooden table", ["'wooden' (leave it out)", "'table' (say 'object')"]),
        ("a blue vase", ["'vase' (say 'object')"]),
        ("a glass", ["'glass' (say 'an object')"]),
        ("the rose is big", ["'big' (leave it out)"]),
        ("a cat sleeping on a rose", ["'sleeping' (leave it out)"]),
        ("a painting of a rose", ["'painting' (leave it out)"]),
        ("a photograph of a rose", ["'photograph' (say 'photo' or 'picture')"]),
        ("a red tullip", ["'tullip' (say 'tulip' or 'object')"]),
        ("a vase, and the vase", ["'vase' (say 'an object')"]),
    ],
)
def test_only_a_thing_is_called_an_object(bundled: Backbone, caption: str, advice: list[str]) -> None:
    assert words_to_replace([bundled.parse(caption)], bundled.known_words or ()) == advice


@pytest.mark.parametrize("caption", ["a lilac vase", "a dark vase"])
def test_a_model_without_the_words_is_not_said_to_have_them(bundled: Backbone, caption: str) -> None:
    told = words_to_replace([bundled.parse(caption)], {"rose"})
    assert all(one.endswith("(leave it out)") for one in told) and len(told) == 2


def test_the_warning_is_one_of_all_captions(bundled: Backbone) -> None:
    captions = [bundled.parse("a rose on a table"), bundled.parse("a lilac rose on a table")]
    [warning] = warn_of_captions(captions, bundled.known_words)
    assert warning.count("'table'") == 1 and "'lilac' (say 'purple'); it may draw anything there" in warning
    assert warn_of_captions(captions, None) == []
    assert warn_of_captions([bundled.parse("the roses are red, and it is a photo")], bundled.known_words) == []
