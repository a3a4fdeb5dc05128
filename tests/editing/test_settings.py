"""The edit's and inpainting's settings, by their descriptions and by what users type."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from PIL import Image

import editing
from backbones.errors import EditRealError
from backbones.option import described
from editing.inpaint import INPAINTINGS
from editing.settings import (
    EditSettings,
    InpaintSettings,
    InversionSettings,
    settings_for_each,
    split_settings,
    with_options,
)
from masks.binarize import RULES
from masks.refine import REFINEMENTS

KINDS: tuple[type, ...] = (InversionSettings, EditSettings, InpaintSettings)
RANGES = [
    (kind, name, bound, step)
    for kind in KINDS
    for name, description in described(kind).items()
    for bound, step in ((description.least, -1), (description.most, 1))
    if math.isfinite(bound)
]
CHOICES = [(kind, name) for kind in KINDS for name, description in described(kind).items() if description.names()]


def accepts(kind: type, name: str, value: Any) -> bool:
    """Whether the settings take the value; a guidance of 1 is tried with an inversion that needs none."""
    others = {"inversion": "direct"} if name == "guidance_scale" and kind is InversionSettings else {}
    try:
        kind(**{**others, name: value})
    except EditRealError as error:
        return f"expected {name} " not in str(error)
    return True


@pytest.mark.parametrize(("kind", "name", "bound", "step"), RANGES)
def test_a_range_ends_where_its_description_says(kind: type, name: str, bound: float, step: int) -> None:
    beyond = bound + step if described(kind)[name].kind.name == "whole" else math.nextafter(bound, step * math.inf)
    assert accepts(kind, name, bound)
    assert not accepts(kind, name, beyond)


def test_the_ranges_are_those_that_users_are_told() -> None:
    spans = {
        name: text for kind in KINDS for name, description in described(kind).items() if (text := description.span())
    }
    assert spans == {
        "steps": "1 or more",
        "skip": "0 to 0.95",
        "noise_seed": f"0 to {2**63 - 1}",
        "guidance_scale": "1 or more",
        "max_inner_steps": "0 or more",
        "null_text_block": "1 or more",
        "null_text_every": "1 or more",
        "eta": "0 to 1",
        "negative_alpha": "0 to 1",
        "blend_start": "0 to 1",
        "cell_share": "0 to 1",
        "closer": "0 to 1",
        "mask_threshold": "0.001 to 0.999",
        "mask_spread": "0 or more",
        "feather": "0 to 1",
        "texture": "0 to 1",
        "attempts": "1 to 5",
        "seed": f"0 to {2**63 - 1}",
        "radius": "1 to 100",
        "padding": "0 or more",
    }


@pytest.mark.parametrize(("kind", "name"), CHOICES)
def test_every_choice_is_taken_and_nothing_else(kind: type, name: str) -> None:
    names = described(kind)[name].names()
    assert all(accepts(kind, name, choice) for choice in names)
    assert not accepts(kind, name, "magic")
    with pytest.raises(EditRealError, match=f"^expected {name} among {', '.join(names)}, got 'magic'$"):
        kind(**{name: "magic"})


def test_choices_are_the_registries_names() -> None:
    of = described(EditSettings)
    assert list(of["mask_rule"].names()) == list(RULES)
    assert list(of["refinement"].names()) == list(REFINEMENTS)
    assert {"replace", "refine"} <= set(of["control"].names()) and "auto" not in of["control"].names()
    assert list(described(InpaintSettings)["method"].names()) == list(INPAINTINGS)


@pytest.mark.parametrize("kind", KINDS)
def test_none_is_taken_where_it_stands_for_something(kind: type) -> None:
    for name, description in described(kind).items():
        assert accepts(kind, name, None) == (description.none is not None), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("blend_words", "rose"),
        ("protect_words", "rose"),
        ("protect_words", 3),
        ("cross_replace", 80),
        ("cross_replace", "0.8"),
        ("cross_replace", {"rose": (0.5, 0.1)}),
        ("cross_replace", {3: 0.5}),
        ("self_replace", "x"),
        ("self_replace", {"rose": 0.4}),
        ("reweight", {"rose": "2"}),
        ("reweight", "rose=2"),
        ("emphasis", float("nan")),
        ("local_blend", "no"),
        ("keep_detail", 0),
        ("exact", None),
        ("seed", 1),
        ("no_such_option", 1),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(EditRealError, match=name) as caught:
        split_settings({name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cross_replace", (0.1, 0.8)),
        ("cross_replace", {"pink": 0.4, "leaf": (0.1, 0.2), "default": 1}),
        ("self_replace", 0),
        ("reweight", {"pink": -3}),
        ("blend_words", []),
        ("protect_words", ("a", "b")),
        ("include_mask", np.ones((2, 2), bool)),
    ],
)
def test_what_users_write_in_python_is_taken(name: str, value: object) -> None:
    _, settings = split_settings({name: value})
    assert getattr(settings, name) is value


def test_options_are_sorted_into_the_two_kinds() -> None:
    inversion, edit = split_settings({"steps": 7, "self_replace": 0.1})
    assert inversion == InversionSettings(steps=7)
    assert edit == EditSettings(self_replace=0.1)


def test_options_on_top_of_settings() -> None:
    settings = with_options(EditSettings(emphasis=3.0), {"feather": 0.1})
    assert settings == EditSettings(emphasis=3.0, feather=0.1)
    sentence = r"^expected options among cross_replace, .*, got steps; steps belongs to the inversion$"
    with pytest.raises(EditRealError, match=sentence):
        with_options(settings, {"steps": 3})


@pytest.mark.parametrize(("settings", "count"), [([EditSettings()], 2), ([EditSettings()], 0)])
def test_settings_for_each_are_as_many_as_the_edits(settings: Any, count: int) -> None:
    with pytest.raises(EditRealError, match=r"^expected one settings for each new caption, got"):
        settings_for_each(settings, {}, count)


def test_settings_for_each_are_shared_or_ones_own() -> None:
    assert settings_for_each(None, {"emphasis": 3.0}, 2) == [EditSettings(emphasis=3.0)] * 2
    assert settings_for_each(None, {"emphasis": 3.0}, 0) == []
    own = [EditSettings(feather=0.1), EditSettings(feather=0.2)]
    assert [one.feather for one in settings_for_each(own, {"emphasis": 3.0}, 2)] == [0.1, 0.2]


MASK = np.tri(4, dtype=bool)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reweight": {"pink": 2.0, "leaf": 0.0}},
        {"cross_replace": {"pink": (0.1, 0.2)}},
        {"blend_words": ["rose"]},
        {"include_mask": MASK},
        {"exclude_mask": Image.fromarray(MASK)},
    ],
)
def test_equal_settings_are_one_key_whatever_they_hold(options: dict[str, Any]) -> None:
    copies = {name: value.copy() if hasattr(value, "copy") else value for name, value in options.items()}
    assert EditSettings(**options) == EditSettings(**copies)
    assert len({EditSettings(**options), EditSettings(**copies), EditSettings(feather=0.5, **options)}) == 2


def test_other_masks_are_other_settings() -> None:
    assert EditSettings(include_mask=MASK) != EditSettings(include_mask=~MASK)
    assert EditSettings(include_mask=MASK) != EditSettings(exclude_mask=MASK)
    assert EditSettings() != InversionSettings()


def test_every_setting_says_what_it_does() -> None:
    groups = {"inversion", "attention", "mask", "composite", "policy", "inpainting"}
    for kind in KINDS:
        assert list(described(kind)) == [field.name for field in fields(kind)]
        for name, description in described(kind).items():
            assert description.group in groups, name
            assert len(description.help) > 10 and not description.help.endswith("."), name


def test_what_is_shared_has_one_default() -> None:
    assert InpaintSettings().steps == InversionSettings().steps
    assert InpaintSettings().guidance_scale == InversionSettings().guidance_scale
    assert InpaintSettings().feather == EditSettings().feather


def test_the_package_hands_them_out() -> None:
    assert editing.InversionSettings is InversionSettings
    assert editing.EditSettings is EditSettings and editing.InpaintSettings is InpaintSettings


def test_an_option_of_the_other_settings_is_sent_home() -> None:
    with pytest.raises(EditRealError, match="got steps; steps belongs to the inversion"):
        with_options(EditSettings(), {"steps": 2})
    with pytest.raises(EditRealError, match="got exact, magic; exact belongs to the edit"):
        with_options(InversionSettings(), {"exact": False, "magic": 1})


def test_an_option_that_is_misspelled_is_told_with_the_nearest() -> None:
    with pytest.raises(EditRealError, match=r"got emphasys; you may mean emphasis$"):
        with_options(EditSettings(), {"emphasys": 2})
    with pytest.raises(EditRealError, match=r"got magic$"):
        with_options(EditSettings(), {"magic": 2})
