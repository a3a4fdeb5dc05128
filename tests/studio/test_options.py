"""Every setting is an option, and what is given reaches it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from backbones.errors import EditRealError
from backbones.option import described
from editing.settings import EditSettings, InversionSettings
from masks.binarize import RULES
from studio.options import READERS, help_text, spread_settings

KINDS = (InversionSettings, EditSettings)

GIVEN = {
    "inversion": ("direct", "direct"),
    "steps": ("7", 7),
    "guidance_scale": ("2.5", 2.5),
    "max_inner_steps": ("4", 4),
    "null_text_block": ("1", 1),
    "null_text_every": ("3", 3),
    "null_text_start": ("caption", "caption"),
    "skip": ("0.25", 0.25),
    "noise_seed": ("5", 5),
    "eta": ("0", 0),
    "cross_replace": ("0.1:0.5", {"default": (0.1, 0.5)}),
    "self_replace": ("0.2", 0.2),
    "control": ("refine", "refine"),
    "emphasis": ("1.5", 1.5),
    "emphasis_window": ("0.1:0.5", (0.1, 0.5)),
    "reweight": ("pink=-2", {"pink": -2.0}),
    "blend_words": ("rose", ["rose"]),
    "protect_words": ("leaf", ["leaf"]),
    "include_mask": ("in.png", Path("in.png")),
    "exclude_mask": ("ex.png", Path("ex.png")),
    "mask_grows": ("", True),
    "closer": ("0.2", 0.2),
    "local_blend": (None, False),
    "blend_start": ("0.2", 0.2),
    "cell_share": ("0.4", 0.4),
    "mask_rule": ("midrange", "midrange"),
    "mask_threshold": ("0.6", 0.6),
    "mask_spread": ("2", 2),
    "refinement": ("plain", "plain"),
    "feather": ("0.1", 0.1),
    "keep_detail": (None, False),
    "texture": ("0.5", 0.5),
    "exact": (None, False),
    "negative_alpha": ("0.75", 0.75),
    "kind": ("thing", "thing"),
    "attempts": ("3", 3),
}


Got = list[tuple[InversionSettings, EditSettings]]


def make_app(got: Got) -> typer.Typer:
    """A command that has all settings and puts those that it is given into `got`."""
    app = typer.Typer(add_completion=False)

    @app.command()
    @spread_settings
    def command(photo: str, *, inversion: InversionSettings, settings: EditSettings) -> None:
        got.append((inversion, settings))

    return app


def command_of() -> Any:
    return typer.main.get_command(make_app([]))


def parse(*arguments: str) -> tuple[InversionSettings, EditSettings]:
    """The settings that a command gets of `arguments`."""
    got: Got = []
    outcome = CliRunner().invoke(make_app(got), ["photo.png", *arguments])
    assert outcome.exit_code == 0, outcome.output
    return got[0]


def test_an_option_is_a_setting_and_the_other_way_round() -> None:
    names = [field.name for kind in KINDS for field in fields(kind)]
    assert sorted(names) == sorted(GIVEN)
    shown = {parameter.name for parameter in command_of().params}
    assert shown - {"help"} == {"photo", *names}


def test_what_is_left_alone_is_the_default() -> None:
    assert parse() == (InversionSettings(), EditSettings())


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_given_reaches_its_setting_and_no_other(name: str) -> None:
    text, expected = GIVEN[name]
    option = name.replace("_", "-")
    inversion, settings = parse(*([f"--no-{option}"] if text is None else [f"--{option}", *filter(None, [text])]))
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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--self-replace", "x"], "expected a window such as 0.8 or 0.1:0.8, got 'x'"),
        (["--self-replace", "0.1:0.2:0.3"], "expected a window such as 0.8 or 0.1:0.8"),
        (["--self-replace", "0.8:0.1"], "expected self_replace as a window of shares"),
        (["--cross-replace", "pink=80"], "expected cross_replace of 'pink' as a window of shares"),
        (["--reweight", "pink"], "expected a word and its weight such as pink=2, got 'pink'"),
        (["--reweight", "=2"], "expected a word and its weight such as pink=2, got '=2'"),
        (["--reweight", "pink=nan"], "expected reweight of 'pink' as a number, got nan"),
        (["--mask-rule", "magic"], f"expected mask_rule among {', '.join(RULES)}, got 'magic'"),
        (["--texture", "2"], "expected texture as a number between 0 and 1, got 2.0"),
    ],
)
def test_what_is_typed_wrong_is_one_sentence(arguments: list[str], sentence: str) -> None:
    outcome = CliRunner().invoke(make_app([]), ["photo.png", *arguments])
    assert isinstance(outcome.exception, EditRealError)
    assert str(outcome.exception).startswith(sentence) and "\n" not in str(outcome.exception)


def test_help_has_the_description_the_values_and_the_panel() -> None:
    options = {parameter.name: parameter for parameter in command_of().params}
    for kind in KINDS:
        for name, description in described(kind).items():
            text = options[name].help
            assert text == help_text(description) and text.startswith(description.help)
            assert all(part in text for part in [*description.names(), description.span()])
            assert options[name].rich_help_panel == description.group.capitalize()
    assert options["steps"].help.endswith("; 1 or more")
    assert options["mask_rule"].help.endswith(f"; one of {', '.join(RULES)}")
    assert options["reweight"].help.endswith("; pink=2; repeatable")
    assert options["guidance_scale"].show_default == "what suits the model"


def test_every_kind_of_value_can_be_typed() -> None:
    assert {described(kind)[name].kind.name for kind in KINDS for name in described(kind)} <= set(READERS)
