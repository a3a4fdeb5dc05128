"""The settings' fields as options of the command line, so that every command has all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from backbones.errors import EditRealError
from editing.settings import EditSettings, InversionSettings

Command = TypeVar("Command", bound=Callable[..., None])


def read_window(text: str) -> float | tuple[float, float]:
    """`0.8` or `0.1:0.8`."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if len(parts) not in (1, 2):
        raise EditRealError(f"expected a window such as 0.8 or 0.1:0.8, got {text!r}")
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def read_windows(texts: list[str]) -> dict[str, Any]:
    """Windows with and without a word; the one without is everyone else's."""
    pairs = [text.rpartition("=") for text in texts]
    windows = {word or "default": read_window(window) for word, _, window in pairs}
    return {"default": EditSettings.cross_replace, **windows}


def read_weights(texts: list[str]) -> dict[str, float]:
    """`word=2` for every word."""
    weights = {}
    for text in texts:
        word, _, number = text.rpartition("=")
        try:
            weights[word] = float(number)
        except ValueError:
            word = ""
        if not word:
            raise EditRealError(f"expected a word and its weight such as pink=2, got {text!r}")
    return weights


OPTIONS: dict[str, Any] = {
    "inversion": Annotated[str, typer.Option(help="null_text, negative_prompt, direct or ddim")],
    "steps": Annotated[int, typer.Option(help="denoising steps")],
    "guidance_scale": Annotated[
        float | None,
        typer.Option(help="how strongly the edit follows the new caption; by default what suits the model"),
    ],
    "max_inner_steps": Annotated[int, typer.Option(help="null-text updates at each step")],
    "null_text_start": Annotated[str, typer.Option(help="whose embedding null-text starts from: empty or caption")],
    "cross_replace": Annotated[
        list[str] | None,
        typer.Option(
            help="when the photo's cross-attention is kept: 0.8, 0.1:0.8, or a word's own: pink=0:0.4; repeatable",
            show_default=str(EditSettings.cross_replace),
        ),
    ],
    "self_replace": Annotated[
        str | None,
        typer.Option(
            help="when its self-attention is, which holds the layout: 0.4 or 0.1:0.4",
            show_default=str(EditSettings.self_replace),
        ),
    ],
    "control": Annotated[str, typer.Option(help="what a swapped word looks at: auto, replace or refine")],
    "emphasis": Annotated[float, typer.Option(help="weight of the words that NEW_CAPTION brings")],
    "reweight": Annotated[
        list[str] | None, typer.Option(help="one word's weight instead: pink=2; 0 turns it off; repeatable")
    ],
    "blend_words": Annotated[
        list[str] | None, typer.Option(help="a word that says where to edit, instead of the changed ones; repeatable")
    ],
    "protect_words": Annotated[list[str] | None, typer.Option(help="a word that must not change; repeatable")],
    "include_mask": Annotated[Path | None, typer.Option(help="picture: white is always edited")],
    "exclude_mask": Annotated[Path | None, typer.Option(help="picture: white is never edited")],
    "local_blend": Annotated[bool, typer.Option(help="restore what lies outside the mask")],
    "blend_start": Annotated[float, typer.Option(help="share of the steps before that begins")],
    "cell_share": Annotated[
        float, typer.Option(help="share of a latent cell inside the mask from which it is edited; 1: the maps decide")
    ],
    "mask_rule": Annotated[str, typer.Option(help="otsu, midrange or published")],
    "mask_threshold": Annotated[float | None, typer.Option(help="0 to 1, instead of the rule's own")],
    "mask_spread": Annotated[int, typer.Option(help="times a word's heat is carried along self-attention")],
    "refinement": Annotated[str, typer.Option(help="how the mask finds edges: guided, grabcut or plain")],
    "feather": Annotated[float, typer.Option(help="fade inside the mask, a share of the longer side")],
    "keep_detail": Annotated[bool, typer.Option(help="carry the photo's own texture through the edit")],
    "texture": Annotated[
        float | None,
        typer.Option(help="least share of the fine texture that stays; by default all if only colours change"),
    ],
    "exact": Annotated[bool, typer.Option(help="follow the inversion exactly")],
}
"""What typer reads, by the name that a field has in `InversionSettings` or `EditSettings`."""

READ: dict[str, Callable[[Any], Any]] = {
    "cross_replace": read_windows,
    "self_replace": read_window,
    "reweight": read_weights,
    "blend_words": list,
    "protect_words": list,
}
"""What makes a field's value of that, where typer cannot; an option that is left alone leaves the field alone."""


def spread_settings(command: Command) -> Command:
    """Gives `command` an option for every field of those of its parameters that are settings."""
    signature = inspect.signature(command, eval_str=True)
    settings = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if parameter.annotation in (InversionSettings, EditSettings)
    }

    @wraps(command)
    def run(**given: Any) -> None:
        for name, kind in settings.items():
            given[name] = kind(**dict(_values(kind, given)))
        command(**given)

    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += _parameters(settings[name]) if name in settings else [parameter]
    run.__annotations__ = {}
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    return run  # type: ignore[return-value]


def _parameters(kind: type[InversionSettings] | type[EditSettings]) -> Iterator[inspect.Parameter]:
    """One for every field."""
    defaults = kind()
    for field in fields(kind):
        default = None if field.name in READ else getattr(defaults, field.name)
        annotation = OPTIONS[field.name]
        yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _values(kind: type[InversionSettings] | type[EditSettings], given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Takes the fields of `kind` out of what typer has read."""
    for field in fields(kind):
        value = given.pop(field.name)
        if field.name not in READ:
            yield field.name, value
        elif value is not None and value != []:
            yield field.name, READ[field.name](value)
