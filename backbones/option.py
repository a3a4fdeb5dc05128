"""A setting described once: what it does, which values it takes, where it belongs.

Settings are frozen dataclasses whose fields are made by `option`. `check_options` validates them by what the fields'
metadata says, and command lines, forms and reference pages are made of the same metadata.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from backbones.errors import EditRealError

Choices = Collection[str] | Callable[[], Collection[str]]
"""Names, or a registry whose keys they are; a function where it can only be imported later."""


@dataclass(frozen=True)
class Kind:
    """A kind of value.

    Attributes:
        name: By which a front end finds its way to read one.
        examples: Some as Python code; none where choices or a range say enough.
        check: Called with the setting's name, the value and the setting's description; raises EditRealError.
    """

    name: str
    examples: tuple[str, ...]
    check: Callable[[str, Any, Option], None]


@dataclass(frozen=True)
class Option:
    """The description of a setting, kept in its field's metadata.

    Attributes:
        help: What it does, in a sentence without a capital or a full stop.
        group: Of which settings it is one: `inversion`, `attention`, `mask`, `composite` ...
        kind: Of its values.
        choices: The names that it may be.
        least: The least number that it may be.
        most: The greatest.
        none: What None stands for; None itself where the setting cannot be None.
    """

    help: str
    group: str
    kind: Kind
    choices: Choices | None = None
    least: float = -math.inf
    most: float = math.inf
    none: str | None = None

    def names(self) -> Collection[str]:
        """The choices, or the registry that holds them by name; empty where any value of the kind will do."""
        return self.choices() if callable(self.choices) else self.choices or ()

    def span(self) -> str:
        """The range in words, such as `1 or more` or `0 to 1`; empty where any number will do."""
        if self.least == -math.inf:
            return ""
        return f"{self.least} or more" if self.most == math.inf else f"{self.least} to {self.most}"


def option(
    default: Any,
    *,
    help: str,
    group: str,
    kind: Kind | None = None,
    choices: Choices | None = None,
    least: float = -math.inf,
    most: float = math.inf,
    whole: bool = False,
    none: str | None = None,
) -> Any:
    """A dataclass field that is described by an `Option`.

    Args:
        default: Of the setting; an empty dict is made anew for each settings object.
        help: See `Option`, like the others.
        group: The same.
        kind: Where choices, `whole` and the default do not tell: a name among choices, a whole number, True or False,
            else a number.
        choices: The same.
        least: The same.
        most: The same.
        whole: Only whole numbers.
        none: The same.

    Example:
        >>> @dataclass(frozen=True)
        ... class Settings:
        ...     steps: int = option(50, help="denoising steps", group="inversion", least=1, whole=True)
        ...     __post_init__ = check_options
    """
    if kind is None:
        kind = CHOICE if choices is not None else WHOLE if whole else SWITCH if isinstance(default, bool) else NUMBER
    metadata = {"option": Option(help, group, kind, choices, least, most, none)}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def described(settings: Any) -> dict[str, Option]:
    """The descriptions of a settings class, or of an object of one, by the fields' names and in their order."""
    return {field.name: field.metadata["option"] for field in dataclasses.fields(settings)}


def check_options(settings: Any) -> None:
    """Validates every field by its description.

    Raises:
        EditRealError: A value that does not fit; the sentence names the field.
    """
    for name, description in described(settings).items():
        value = getattr(settings, name)
        if value is not None or description.none is None:
            description.kind.check(name, value, description)


def comparable(value: Any) -> Any:
    """Something hashable, equal exactly where the values are: for settings that hold lists, mappings or pictures.

    Arrays are told by their type, shape and bytes, PIL images by their mode, size and pixels, objects such as photos by
    their fields.
    """
    if isinstance(value, Mapping):
        return frozenset((key, comparable(one)) for key, one in value.items())
    if isinstance(value, set | frozenset):
        return frozenset(value)
    if hasattr(value, "tobytes"):
        value = value.convert("RGBA") if getattr(value, "mode", None) == "P" else value  # whose bytes are of a palette
        kind = getattr(value, "mode", None) or str(getattr(value, "dtype", None))
        return kind, getattr(value, "size", None), getattr(value, "shape", None), value.tobytes()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value), *(comparable(getattr(value, one.name)) for one in dataclasses.fields(value))
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return tuple(map(comparable, value))
    return value


def check_number(
    name: str, value: Any, least: float = -math.inf, most: float = math.inf, *, whole: bool = False
) -> None:
    """Refuses what is no finite number in the range.

    Raises:
        EditRealError: The sentence names what it is of.
    """
    kinds = int if whole else (int, float)
    if (
        isinstance(value, bool)
        or not isinstance(value, kinds)
        or not abs(value) <= sys.float_info.max  # isfinite takes no whole number beyond that
        or not least <= value <= most
    ):
        kind = "a whole number" if whole else "a number"
        span = f" of {least} or more" if most == math.inf else f" between {least} and {most}"
        raise EditRealError(f"expected {name} as {kind}{'' if least == -math.inf else span}, got {value!r}")


def _check_number(name: str, value: Any, option: Option) -> None:
    check_number(name, value, option.least, option.most)


def _check_whole(name: str, value: Any, option: Option) -> None:
    check_number(name, value, option.least, option.most, whole=True)


def _check_choice(name: str, value: Any, option: Option) -> None:
    names = option.names()
    if not isinstance(value, str) or value not in names:
        raise EditRealError(f"expected {name} among {', '.join(names)}, got {value!r}")


def _check_switch(name: str, value: Any, option: Option) -> None:
    if not isinstance(value, bool):
        raise EditRealError(f"expected {name} as True or False, got {value!r}")


def _check_words(name: str, value: Any, option: Option) -> None:
    if isinstance(value, str):
        raise EditRealError(f"expected {name} as a list of words, got the single string {value!r}")
    if not isinstance(value, Collection) or not all(isinstance(word, str) for word in value):
        raise EditRealError(f"expected {name} as a list of words, got {value!r}")


def _check_weights(name: str, value: Any, option: Option) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(word, str) for word in value):
        raise EditRealError(f"expected {name} as words with their weights, {{'pink': 2}}, got {value!r}")
    for word, weight in value.items():
        check_number(f"{name} of {word!r}", weight, option.least, option.most)


def _check_picture(name: str, value: Any, option: Option) -> None:
    """Nothing: whether a picture can be used is told when it is read, beside the photo whose size it must have."""


NUMBER = Kind("number", (), _check_number)
WHOLE = Kind("whole", (), _check_whole)
CHOICE = Kind("choice", (), _check_choice)
SWITCH = Kind("switch", ("True", "False"), _check_switch)
WORDS = Kind("words", ('["flower", "leaf"]',), _check_words)
WEIGHTS = Kind("weights", ('{"pink": 2.0}',), _check_weights)
PICTURE = Kind("picture", ('"mask.png"',), _check_picture)
