from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from backbones.errors import EditRealError
from backbones.option import described
from editing.settings import EditSettings, InversionSettings
from studio.web.form import ON_THE_PAGE, PRESETS, form_fields, preset_of, preset_values, read_form, shown_values


def test_the_form_has_every_setting_that_has_no_place_of_its_own() -> None:
    names = {field.name for field in form_fields()}
    assert names == {*described(InversionSettings), *described(EditSettings)} - {*ON_THE_PAGE}


def test_a_form_that_is_left_alone_gives_the_defaults() -> None:
    untouched = [field.show(field.default) for field in form_fields()]
    assert read_form(untouched) == (InversionSettings(), EditSettings())


def test_every_setting_stands_once_in_its_group() -> None:
    groups = [field.option.group for field in form_fields()]
    assert len([1 for one, other in pairwise(groups) if one != other]) == len(set(groups)) - 1


@pytest.mark.parametrize(
    "changed",
    [
        {"cross_replace": (0.1, 0.6)},
        {"cross_replace": {"default": 0.8, "pink": (0.0, 0.4)}},
        {"self_replace": 0.0},
        {"blend_words": ["flower", "leaf"]},
        {"blend_words": []},
        {"mask_threshold": 0.4},
        {"texture": 0.0, "keep_detail": False, "refinement": "guided", "mask_spread": 2},
    ],
)
def test_what_the_form_shows_is_read_back(changed: dict[str, Any]) -> None:
    settings = replace(EditSettings(), **changed)
    assert read_form(shown_values(InversionSettings(), settings)) == (InversionSettings(), settings)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_settings(name: str) -> None:
    inversion, settings = read_form(preset_values(name))
    merged = {**vars(inversion), **vars(settings)}
    assert {key: merged[key] for key in PRESETS[name]} == PRESETS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_told_by_its_values(name: str) -> None:
    assert preset_of(preset_values(name)) == name
    assert preset_of(shown_values(InversionSettings(steps=7), EditSettings())) is None


@pytest.mark.parametrize(
    ("name", "value"), [("self_replace", "often"), ("mask_threshold", "7"), ("steps", None), ("cross_replace", "x=y")]
)
def test_what_does_not_fit_is_refused_by_the_settings_name(name: str, value: Any) -> None:
    values = [value if field.name == name else field.show(field.default) for field in form_fields()]
    with pytest.raises(EditRealError, match=name):
        read_form(values)


def test_an_unknown_kind_of_edit_is_refused() -> None:
    with pytest.raises(EditRealError, match="a preset among"):
        preset_values("magic")
