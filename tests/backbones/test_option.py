"""A setting is checked by what its description says."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import FrozenInstanceError, dataclass, field

import numpy as np
import pytest
from PIL import Image

from backbones.errors import EditRealError
from backbones.option import (
    PICTURE,
    WEIGHTS,
    WORDS,
    check_options,
    comparable,
    described,
    option,
)
from backbones.photo import open_photo

REGISTRY = {"round": abs, "square": abs}


def names_later() -> Collection[str]:
    return REGISTRY


@dataclass(frozen=True)
class Settings:
    shape: str = option("round", help="of the hat", group="hat", choices=names_later)
    color: str = option("red", help="of the hat", group="hat", choices=("red", "green"))
    width: float = option(0.5, help="of the brim", group="hat", least=0, most=1)
    weight: float = option(2.0, help="of the hat", group="hat")
    count: int = option(3, help="of feathers", group="feathers", least=1, whole=True)
    limit: int | None = option(None, help="of all", group="feathers", least=0, whole=True, none="no limit")
    stiff: bool = option(True, help="whether it stands", group="hat")
    words: Collection[str] = option((), help="on it", group="hat", kind=WORDS)
    weights: dict[str, float] = option({}, help="of the words", group="hat", kind=WEIGHTS)
    picture: object = option(None, help="of it", group="hat", kind=PICTURE, none="no picture")

    def __post_init__(self) -> None:
        check_options(self)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("shape", "flat", "expected shape among round, square, got 'flat'"),
        ("shape", ["round"], "expected shape among round, square, got ['round']"),
        ("shape", None, "expected shape among round, square, got None"),
        ("color", "blue", "expected color among red, green, got 'blue'"),
        ("color", "re", "expected color among red, green, got 're'"),
        ("width", -0.01, "expected width as a number between 0 and 1, got -0.01"),
        ("width", 1.01, "expected width as a number between 0 and 1, got 1.01"),
        ("width", "0.5", "expected width as a number between 0 and 1, got '0.5'"),
        ("width", True, "expected width as a number between 0 and 1, got True"),
        ("width", None, "expected width as a number between 0 and 1, got None"),
        ("weight", float("nan"), "expected weight as a number, got nan"),
        ("weight", float("inf"), "expected weight as a number, got inf"),
        ("count", 0, "expected count as a whole number of 1 or more, got 0"),
        ("count", 2.0, "expected count as a whole number of 1 or more, got 2.0"),
        ("limit", -1, "expected limit as a whole number of 0 or more, got -1"),
        ("stiff", "no", "expected stiff as True or False, got 'no'"),
        ("stiff", 1, "expected stiff as True or False, got 1"),
        ("words", "rose", "expected words as a list of words, got the single string 'rose'"),
        ("words", [3], "expected words as a list of words, got [3]"),
        ("words", None, "expected words as a list of words, got None"),
        ("weights", [("pink", 2)], "expected weights as words with their weights, {'pink': 2}, got [('pink', 2)]"),
        ("weights", {3: 2}, "expected weights as words with their weights, {'pink': 2}, got {3: 2}"),
        ("weights", {"pink": "2"}, "expected weights of 'pink' as a number, got '2'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(name: str, value: object, sentence: str) -> None:
    with pytest.raises(EditRealError, match=f"^{re.escape(sentence)}$"):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape", "square"),
        ("color", "green"),
        ("width", 0),
        ("width", 1),
        ("weight", -1e9),
        ("count", 1),
        ("limit", 0),
        ("limit", None),
        ("stiff", False),
        ("words", ["a", "b"]),
        ("weights", {"pink": -2}),
        ("picture", "mask.png"),
        ("picture", None),
    ],
)
def test_what_fits_is_kept_as_it_is(name: str, value: object) -> None:
    settings = Settings(**{name: value})
    assert getattr(settings, name) is value
    with pytest.raises(FrozenInstanceError):
        settings.count = 2  # type: ignore[misc]


def test_a_registry_that_grows_takes_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "flat", abs)
    assert Settings(shape="flat").shape == "flat"
    assert list(described(Settings)["shape"].names()) == ["round", "square", "flat"]


def test_descriptions_come_in_the_fields_order_from_the_class_and_from_its_objects() -> None:
    of_class, of_object = described(Settings), described(Settings())
    assert list(of_class) == list(of_object) == [*Settings.__dataclass_fields__]
    assert of_class["limit"].none == "no limit" and of_class["count"].group == "feathers"


def test_ranges_in_words() -> None:
    spans = {name: description.span() for name, description in described(Settings).items()}
    assert (spans["width"], spans["count"], spans["weight"], spans["words"]) == ("0 to 1", "1 or more", "", "")


def test_kinds_follow_from_the_description() -> None:
    kinds = {name: description.kind.name for name, description in described(Settings).items()}
    assert kinds == {
        "shape": "choice",
        "color": "choice",
        "width": "number",
        "weight": "number",
        "count": "whole",
        "limit": "whole",
        "stiff": "switch",
        "words": "words",
        "weights": "weights",
        "picture": "picture",
    }


def test_a_mapping_is_no_two_settings_default() -> None:
    first, second = Settings(), Settings()
    first.weights["pink"] = 2.0
    assert second.weights == Settings().weights == {}


def test_a_field_without_a_description_is_a_mistake() -> None:
    @dataclass(frozen=True)
    class Bare:
        steps: int = field(default=1)

    with pytest.raises(KeyError):
        check_options(Bare())


def picture(level: int) -> Image.Image:
    return Image.new("L", (2, 3), level)


def paletted(level: int) -> Image.Image:
    """Of one colour, whose number in the palette is the same whatever it is."""
    image = Image.new("P", (2, 3), 0)
    image.putpalette([level] * 3)
    return image


@pytest.mark.parametrize(
    ("value", "same", "other"),
    [
        ({"a": [1, 2]}, {"a": [1, 2]}, {"a": [2, 1]}),
        ({"a", "b"}, {"b", "a"}, {"a"}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}),
        (np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(2, bool), np.zeros(2, bool), np.zeros(2, np.uint8)),
        ({"mask": np.zeros(3)}, {"mask": np.zeros(3)}, {"mask": np.ones(3)}),
        (picture(0), picture(0), picture(1)),
        (paletted(0), paletted(0), paletted(255)),
        (open_photo(np.zeros((16, 16))), open_photo(np.zeros((16, 16))), open_photo(np.ones((16, 16)))),
        ({"a": 1}.keys(), {"a": 2}.keys(), {"b": 1}.keys()),
    ],
)
def test_values_compare_by_what_they_hold(value: object, same: object, other: object) -> None:
    assert comparable(value) == comparable(same)
    assert hash(comparable(value)) == hash(comparable(same))
    assert comparable(value) != comparable(other)
