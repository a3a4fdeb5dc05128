"""Captions say what the row says, with articles and roles."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from training.captions import NO_ARTICLE, Caption, describe, known_words, random_caption, words_by_kind


def row(kind: str, thing: str, things: str, color: str | None = None, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "thing": thing, "things": things, "names": [], "color": color, "background": None, **more}


ROWS = [
    row("flower", "daisy", "daisies", "orange", names=[("flower", "flowers")], background="green"),
    row("flower", "rose", "roses", "orange", names=[("flower", "flowers")], dyed=True, has_object=True),
    row("pet", "cat", "cats", names=[("abyssinian", "abyssinians")], has_object=True),
    row("pet", "cat", "cats", names=[("maine coon", "maine coons")]),
    row("clothes", "pants", "pants", "gray", names=[("trousers", "trousers")], background="white", has_object=True),
    row("clothes", "shirt", "shirts", "red", background="gray"),
    row("fruit", "apple", "apples", "green", names=[("fruit", "fruit")]),
    row("fruit", "aubergine", "aubergines", names=[("vegetable", "vegetables"), ("eggplant", "eggplants")]),
    row("car", "car", "cars", "black"),
]


def captions(row: dict[str, Any], number: int = 80) -> list[Caption]:
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
    names = {row["thing"], row["things"], *(noun for pair in row["names"] for noun in pair)}
    names |= {"object", "objects"} if row.get("has_object") else set()
    names = {word for name in names for word in name.split()}
    colors = {row["color"], {"gray": "grey"}.get(str(row["color"]))}
    for caption in captions(row):
        said = {role: [word for word, its in caption if its == role] for role in ("object", "color", "background")}
        assert said["object"]
        assert set(said["object"]) <= names
        assert set(said["color"]) <= colors - {None}
        assert set(said["background"]) <= {row["background"], "background"}


def test_what_has_no_singular_has_no_article() -> None:
    for caption in captions(ROWS[4]):
        text = " ".join(word for word, _ in caption)
        assert not re.search(r"\ban? (gr[ae]y )?(pants|trousers)", text), text
    assert describe("pants", "black") == "a photo of black pants"
    assert describe("tulip", "orange", "green") == "a photo of an orange tulip with a green background"
    assert "pants" in NO_ARTICLE


def test_heaps_of_fruit_are_mostly_plural_and_the_rest_mostly_not() -> None:
    plural = {
        row["kind"]: np.mean([any(word == row["things"] for word, _ in caption) for caption in captions(row, 400)])
        for row in (ROWS[6], ROWS[5])
    }
    assert plural["fruit"] > 0.3
    assert 0 < plural["clothes"] < 0.12


def test_every_word_that_can_be_said_is_known() -> None:
    words = words_by_kind(ROWS)
    said = {word for row in ROWS for caption in captions(row) for word, _ in caption}
    assert said <= set(known_words(words))
    assert {"an", "daisies", "flowers", "abyssinian", "close-up", "trousers", "grey", "object", "pair"} <= said
    assert words["car"] == ["car", "cars"]
    assert "maine coon" in words["pet"]
    assert "red" in words["color"]


def test_a_photo_without_a_color_has_no_color_word() -> None:
    assert all(role != "color" for caption in captions(ROWS[2]) for _, role in caption)
