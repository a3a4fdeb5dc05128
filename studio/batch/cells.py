"""A setting's value out of a cell of a CSV file or a value of JSON, by the kinds of `backbones.option`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from backbones.errors import EditRealError
from backbones.option import described
from editing.settings import EditSettings, InversionSettings
from studio.options import READERS

SEPARATOR = ";"
"""Between the words of a cell: `pink=2; white=0.5`."""

DESCRIBED = {**described(InversionSettings), **described(EditSettings)}
DEFAULTS = {**vars(InversionSettings()), **vars(EditSettings())}
WITH_COMMAS = ("window", "windows", "weights")
"""Kinds beside numbers that hold some, after the last `=`."""

GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+")
"""Thousands set apart, or a fraction of zeros: which, only the user knows."""

SWITCHES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_cell(name: str, text: str) -> Any:
    """The value of the column `name` in a cell that is not empty.

    Raises:
        EditRealError: It cannot be read; whether it fits the setting is told when the settings are made.
    """
    if name == "region":
        return read_region(text.replace(SEPARATOR, " ").replace(",", " ").split())
    if name not in DESCRIBED:
        return text
    kind = DESCRIBED[name].kind.name
    if kind in PLAIN:
        return PLAIN[kind](name, text)
    reader = READERS[kind]
    if reader.read is None:
        return text
    several = reader.type == list[str]
    parts = [part.strip() for part in text.split(SEPARATOR) if part.strip()] if several else [text]
    if kind in WITH_COMMAS:
        parts = [_with_points(part) for part in parts]
    return reader.read(parts if several else parts[0], DEFAULTS[name])


def read_value(name: str, value: Any) -> Any:
    """The value of the key `name` of a JSON object; pairs become windows.

    Raises:
        EditRealError: It is no region where one is expected.
    """
    if name == "region":
        return read_region(value)
    kind = DESCRIBED[name].kind.name if name in DESCRIBED else ""
    if kind == "window":
        return _window(value)
    if kind == "windows":
        return {word: _window(one) for word, one in value.items()} if isinstance(value, dict) else _window(value)
    return value


def read_region(values: Any) -> tuple[int, int, int, int]:
    """Four whole numbers: left, top, right, bottom."""
    try:
        left, top, right, bottom = (int(value) for value in values)
        if [left, top, right, bottom] != [float(value) for value in values]:
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise EditRealError(f"expected region as left top right bottom in whole pixels, got {values!r}") from error
    return left, top, right, bottom


def _window(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _with_points(text: str) -> str:
    """Spreadsheets write 0,5 in half of the world."""
    word, sign, number = text.rpartition("=")
    return word + sign + number.replace(",", ".")


def _number(name: str, text: str, what: str = "a number") -> float:
    try:
        return float(_with_points(text))
    except ValueError as error:
        raise EditRealError(f"expected {name} as {what}, got {text!r}") from error


def _whole(name: str, text: str) -> int:
    if GROUPED.fullmatch(text):
        plain = re.sub("[.,]", "", text)
        raise EditRealError(f"expected {name} as a whole number, got {text!r}; write {plain} without a separator")
    number = _number(name, text, "a whole number")
    if not number.is_integer():
        raise EditRealError(f"expected {name} as a whole number, got {text!r}")
    return int(number)


def _switch(name: str, text: str) -> bool:
    if text.lower() not in SWITCHES:
        raise EditRealError(f"expected {name} as one of {', '.join(SWITCHES)}, got {text!r}")
    return SWITCHES[text.lower()]


PLAIN: dict[str, Callable[[str, str], Any]] = {"number": _number, "whole": _whole, "switch": _switch}
"""Kinds whose typed value typer reads on the command line."""
