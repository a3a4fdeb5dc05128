"""Colour words and pixels of those colours."""

from __future__ import annotations

import math

import numpy as np
import pytest

from editing.align import COLORS
from editing.colors import PROTOTYPES, color_named, share_of_color


def flat(*colors: tuple[int, int, int]) -> np.ndarray:
    return np.array(colors, np.uint8)


@pytest.mark.parametrize("name", PROTOTYPES)
def test_every_prototype_has_its_own_name(name: str) -> None:
    assert share_of_color(flat(*PROTOTYPES[name]), [name]) == 1
    others = [other for other in PROTOTYPES if other != name]
    assert share_of_color(flat(*PROTOTYPES[name]), others) == 0


@pytest.mark.parametrize(
    ("color", "name"),
    [
        ((200, 30, 40), "red"),
        ((255, 200, 0), "yellow"),
        ((250, 120, 10), "orange"),
        ((240, 150, 190), "pink"),
        ((100, 40, 140), "purple"),
        ((60, 120, 40), "green"),
        ((170, 235, 25), "green"),  # lime
        ((180, 210, 185), "green"),  # mint
        ((215, 225, 215), "white"),
        ((40, 60, 160), "blue"),
        ((100, 60, 30), "brown"),
        ((245, 245, 245), "white"),
        ((20, 18, 22), "black"),
        ((120, 120, 118), "gray"),
    ],
)
def test_colours_as_people_name_them(color: tuple[int, int, int], name: str) -> None:
    assert share_of_color(flat(color), [name]) == 1


def test_shares_are_of_the_pixels() -> None:
    pixels = flat((220, 25, 30), (220, 25, 30), (30, 80, 200), (0, 0, 0))
    assert share_of_color(pixels, ["red"]) == 0.5
    assert share_of_color(pixels, ["red", "blue"]) == 0.75
    assert math.isnan(share_of_color(pixels[:0], ["red"]))


def test_words_for_colours() -> None:
    assert color_named("red") == "red" and color_named("grey") == "gray" and color_named("rose") is None
    shades = {"bright", "dark", "light", "pale"}
    assert {word for word in COLORS if color_named(word) is None} == shades
