"""Captions say what the row says, with articles and roles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from training.captions import BACKGROUNDS, BREEDS, PLURALS, SPECIES, Caption, known_words, random_caption
from training.colors import FLOWER_COLORS

ROWS: list[dict[str, Any]] = [
    *({"flower": noun, "color": color, "background": "green"} for noun in SPECIES for color in (*FLOWER_COLORS, None)),
    *({"flower": "rose", "color": "orange", "background": ground, "dyed": True} for ground in (*BACKGROUNDS, None)),
    *({"animal": "cat", "breed": breed} for breed in BREEDS[:2]),
    {"animal": "dog", "breed": BREEDS[2], "background": "gray"},
]


def captions(row: dict[str, Any], number: int = 60) -> list[Caption]:
    rng = np.random.default_rng(0)
    return [random_caption(row, rng) for _ in range(number)]


@pytest.mark.parametrize("row", ROWS)
def test_an_article_fits_the_word_after_it(row: dict[str, Any]) -> None:
    for caption in captions(row):
        words = [word for word, _ in caption]
        for article, word in pairwise(words):
            if article in ("a", "an"):
                assert (article == "an") == (word[0] in "aeiou"), " ".join(words)


@pytest.mark.parametrize("row", ROWS)
def test_words_have_their_roles_and_are_true(row: dict[str, Any]) -> None:
    names = {row[key] for key in ("flower", "animal", "breed") if key in row} | {"flower", "flowers"}
    names |= {PLURALS[name] for name in names if name in PLURALS}
    for caption in captions(row):
        said = {role: [word for word, its in caption if its == role] for role in ("object", "color", "background")}
        assert said["object"]
        assert set(said["object"]) <= names
        assert set(said["color"]) <= {row.get("color")}
        assert set(said["background"]) <= {row.get("background"), "background"}


def test_every_word_that_can_be_said_is_known() -> None:
    said = {word for row in ROWS for caption in captions(row) for word, _ in caption}
    assert said <= set(known_words())
    assert {"an", "daisies", "flowers", "abyssinian", "close-up"} <= said


def test_a_photo_without_a_color_has_no_color_word() -> None:
    row = {"flower": "rose", "color": None}
    assert all(role != "color" for caption in captions(row) for _, role in caption)
