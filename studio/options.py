"""The settings' fields as options of the command line, made from what their metadata says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from backbones.errors import EditRealError
from backbones.option import Option, described

Command = TypeVar("Command", bound=Callable[..., None])


def read_window(text: str, default: Any = None) -> float | tuple[float, float]:
    """`0.8` or `0.1:0.8`."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if len(parts) not in (1, 2):
        raise EditRealError(f"expected a window such as 0.8 or 0.1:0.8, got {text!r}")
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def read_windows(texts: list[str], default: Any) -> dict[str, Any]:
    """Windows with and without a word; the one without is everyone else's, who keep `default` where there is none."""
    pairs = [text.rpartition("=") for text in texts]
    windows = {word or "default": read_window(window) for word, _, window in pairs}
    return {"default": default, **windows}


def read_weights(texts: list[str], default: Any = None) -> dict[str, float]:
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


def read_words(texts: list[str], default: Any = None) -> list[str]:
    """A word each time that the option is given; an empty one is none."""
    return [text for text in texts if text]


def write_window(window: Any) -> list[str]:
    """What `read_window` reads."""
    return [":".join(map(str, window if isinstance(window, Sequence) else [window]))]


def write_windows(windows: Any) -> list[str]:
    """What `read_windows` reads."""
    if not isinstance(windows, Mapping):
        return write_window(windows)
    texts = {word: write_window(window)[0] for word, window in windows.items()}
    return [text if word == "default" else f"{word}={text}" for word, text in texts.items()]


def write_weights(weights: Mapping[str, float]) -> list[str]:
    """What `read_weights` reads."""
    return [f"{word}={weight}" for word, weight in weights.items()]


def write_words(words: Any) -> list[str]:
    """What `read_words` reads."""
    return list(words) or [""]


def write_one(value: Any) -> list[str]:
    """A number, a name or a path."""
    return [str(value)]


@dataclass(frozen=True)
class Reader:
    """How a kind of value is typed.

    Attributes:
        type: What typer reads.
        read: What makes a field's value of that and of the field's default, where typer's own will not do; an option
            that is left alone leaves the field alone.
        form: An example, for the help.
        write: What is typed for a field's value, each time that the option is given; a switch is typed by its name.
    """

    type: Any
    read: Callable[[Any, Any], Any] | None = None
    form: str = ""
    write: Callable[[Any], list[str]] = write_one


READERS: dict[str, Reader] = {
    "number": Reader(float),
    "whole": Reader(int),
    "switch": Reader(bool, form="no- before the name turns it off"),
    "choice": Reader(str),
    "picture": Reader(Path, form="a file"),
    "window": Reader(str, read_window, "0.4 or 0.1:0.4", write_window),
    "windows": Reader(list[str], read_windows, "0.8, 0.1:0.8, or a word's own: pink=0:0.4; repeatable", write_windows),
    "weights": Reader(list[str], read_weights, "pink=2; repeatable", write_weights),
    "words": Reader(list[str], read_words, "once for each word, '' for none", write_words),
}
"""By the name of a `backbones.option.Kind`."""


def option_of(settings: type, name: str) -> Any:
    """The annotation that makes typer read the setting `name`."""
    description, default = described(settings)[name], getattr(settings(), name)
    reader = READERS[description.kind.name]
    shown: bool | str = description.none or True
    if reader.read:
        shown = description.none or (str(default) if default else False)
    option = typer.Option(
        help=help_text(description), show_default=shown, rich_help_panel=description.group.capitalize()
    )
    return Annotated[reader.type if not reader.read and description.none is None else reader.type | None, option]


def typed_option(settings: type, name: str, value: Any) -> list[str]:
    """The words of a command line that give the setting `name` this value."""
    option, kind = name.replace("_", "-"), described(settings)[name].kind.name
    if kind == "switch":
        return [f"--{option}" if value else f"--no-{option}"]
    return [word for text in READERS[kind].write(value) for word in (f"--{option}", text)]


def help_text(description: Option) -> str:
    """What an option does, and what may be typed."""
    names = ", ".join(description.names())
    values = (names and f"one of {names}", description.span(), READERS[description.kind.name].form)
    return "; ".join(part for part in (description.help, *values) if part)


def spread_settings(command: Command) -> Command:
    """Gives `command` an option for every field of those of its parameters that are settings."""
    signature = inspect.signature(command, eval_str=True)
    settings: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.annotation)
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


def _parameters(settings: type) -> Iterator[inspect.Parameter]:
    """One for every field."""
    defaults = settings()
    for name, description in described(settings).items():
        default = None if READERS[description.kind.name].read else getattr(defaults, name)
        annotation = option_of(settings, name)
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _values(settings: type, given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Takes the fields of `settings` out of what typer has read."""
    defaults = settings()
    for field in fields(settings):
        value, read = given.pop(field.name), READERS[field.metadata["option"].kind.name].read
        if read is None:
            yield field.name, value
        elif value is not None and value != []:
            yield field.name, read(value, getattr(defaults, field.name))
