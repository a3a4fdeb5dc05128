"""The inversion's settings, by their descriptions and by what users type."""

from __future__ import annotations

import pytest

from backbones.errors import EditRealError
from backbones.option import described
from inversion.invert import METHODS
from inversion.settings import InversionSettings


def test_every_method_is_a_choice_and_no_other_name_is() -> None:
    assert list(described(InversionSettings)["inversion"].names()) == list(METHODS)
    for method in METHODS:
        assert InversionSettings(inversion=method).inversion == method
    with pytest.raises(EditRealError, match=f"^expected inversion among {', '.join(METHODS)}, got 'magic'$"):
        InversionSettings(inversion="magic")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", 2.5),
        ("steps", None),
        ("guidance_scale", 0.5),
        ("guidance_scale", float("nan")),
        ("max_inner_steps", -1),
        ("null_text_start", "noise"),
        ("eta", 0.5),
        ("eta", 2),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(EditRealError, match=f"^expected {name} ") as caught:
        InversionSettings(**{name: value})
    assert "\n" not in str(caught.value)


def test_null_text_needs_guidance_and_the_others_do_not() -> None:
    with pytest.raises(EditRealError, match=r"^expected guidance_scale above 1 for null_text, got 1; use .*direct"):
        InversionSettings(guidance_scale=1)
    with pytest.raises(EditRealError, match=r"^expected guidance_scale above 1 for null_text_search, got 1; use"):
        InversionSettings(inversion="null_text_search", guidance_scale=1)
    assert InversionSettings(guidance_scale=1.01).guidance_scale == 1.01
    assert InversionSettings(inversion="direct", guidance_scale=1).guidance_scale == 1


def test_equal_settings_are_one_key() -> None:
    assert len({InversionSettings(), InversionSettings(steps=20), InversionSettings(steps=7)}) == 2
