"""Every setting is an option, and what is given reaches it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from editing.settings import EditSettings, InversionSettings
from studio.options import OPTIONS, READ, spread_settings

GIVEN = {
    "inversion": ("direct", "direct"),
    "steps": ("7", 7),
    "guidance_scale": ("2.5", 2.5),
    "max_inner_steps": ("4", 4),
    "null_text_start": ("caption", "caption"),
    "cross_replace": ("0.1:0.5", {"default": (0.1, 0.5)}),
    "self_replace": ("0.2", 0.2),
    "control": ("refine", "refine"),
    "emphasis": ("1.5", 1.5),
    "reweight": ("pink=-2", {"pink": -2.0}),
    "blend_words": ("rose", ["rose"]),
    "protect_words": ("leaf", ["leaf"]),
    "include_mask": ("in.png", Path("in.png")),
    "exclude_mask": ("ex.png", Path("ex.png")),
    "local_blend": (None, False),
    "blend_start": ("0.3", 0.3),
    "cell_share": ("0.4", 0.4),
    "mask_rule": ("midrange", "midrange"),
    "mask_threshold": ("0.6", 0.6),
    "mask_spread": ("2", 2),
    "refinement": ("plain", "plain"),
    "feather": ("0.1", 0.1),
    "keep_detail": (None, False),
    "texture": ("0.5", 0.5),
    "exact": (None, False),
}


def parse(*arguments: str) -> tuple[InversionSettings, EditSettings]:
    """The settings that a command gets of `arguments`."""
    app, got = typer.Typer(), []

    @app.command()
    @spread_settings
    def command(photo: str, *, inversion: InversionSettings, settings: EditSettings) -> None:
        got.append((inversion, settings))

    outcome = CliRunner().invoke(app, ["photo.png", *arguments])
    assert outcome.exit_code == 0, outcome.output
    return got[0]


def test_an_option_is_a_setting_and_the_other_way_round() -> None:
    names = [field.name for kind in (InversionSettings, EditSettings) for field in fields(kind)]
    assert sorted(names) == sorted(OPTIONS) == sorted(GIVEN)
    assert set(READ) <= set(OPTIONS)


def test_what_is_left_alone_is_the_default() -> None:
    assert parse() == (InversionSettings(), EditSettings())


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_given_reaches_its_setting_and_no_other(name: str) -> None:
    text, expected = GIVEN[name]
    option = name.replace("_", "-")
    inversion, settings = parse(*([f"--no-{option}"] if text is None else [f"--{option}", text]))
    found: dict[str, Any] = vars(inversion) | vars(settings)
    assert found == vars(InversionSettings()) | vars(EditSettings()) | {name: expected}


def test_windows_and_weights_of_several_words() -> None:
    _, settings = parse(
        "--cross-replace", "pink=0:0.4", "--cross-replace", "0.7", "--reweight", "a=1", "--reweight", "b=2"
    )
    assert settings.cross_replace == {"default": 0.7, "pink": (0.0, 0.4)}
    assert settings.reweight == {"a": 1.0, "b": 2.0}
    _, settings = parse("--cross-replace", "pink=0:0.4")
    assert settings.cross_replace == {"default": EditSettings().cross_replace, "pink": (0.0, 0.4)}
