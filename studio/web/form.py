"""The settings as a form: widgets made from what their metadata says, and values read back from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backbones.errors import EditRealError
from backbones.option import Option, described
from editing.settings import EditSettings, InversionSettings, split_settings
from studio.options import read_weights, read_window, read_windows

ON_THE_PAGE = ("reweight", "protect_words", "include_mask", "exclude_mask")
"""Settings that have a place of their own on the page: sliders, words, brush."""

NO_WORDS = "''"
"""Typed where no word at all is meant and an empty field means something else, as on the command line."""

NOTHING = ""  # the value of a list's entry that stands for none

WIDEST_SLIDER = 1000  # a span beyond which numbers are typed

PRESETS: dict[str, dict[str, Any]] = {
    "Colour or look": {},
    "Stronger": {"emphasis": 3.0, "cross_replace": 0.4},
    "Gentler": {"emphasis": 1.0},
    "Another thing in its place": {"cross_replace": 0.2, "self_replace": 0.0, "texture": 0.0},
    "The whole picture": {"local_blend": False},
    "Quick draft": {"inversion": "direct", "steps": 10, "attempts": 1},
}
"""Kinds of edit, and what each sets besides the defaults."""


@dataclass(frozen=True)
class Field:
    """A setting in the form.

    Attributes:
        name: Of the setting.
        option: Its description.
        default: Its default value.
    """

    name: str
    option: Option
    default: Any

    @property
    def label(self) -> str:
        return self.name.replace("_", " ").capitalize()

    @property
    def info(self) -> str:
        """What it does and, where it may be left empty, what that stands for."""
        text = self.option.help[0].upper() + self.option.help[1:]
        empty = "" if self.option.none is None or self.widget == "choice" else f" Empty: {self.option.none}."
        none = f" {NO_WORDS}: none." if empty and self.option.kind.name == "words" else ""
        return f"{text}.{empty}{none}"

    @property
    def widget(self) -> str:
        """`slider`, `number`, `switch`, `choice` or `text`."""
        kind = self.option.kind.name
        if kind in ("number", "whole") and self.option.none is None:  # one that may be empty is typed as text
            bounded = self.option.most < float("inf") and self.option.least > float("-inf")
            return "slider" if bounded and self.option.most - self.option.least <= WIDEST_SLIDER else "number"
        return kind if kind in ("switch", "choice") else "text"

    def choices(self) -> list[tuple[str, str]]:
        """What a list offers, each with its value; first what nothing stands for, where it may be left empty."""
        names = [(name, name) for name in self.option.names()]
        return names if self.option.none is None else [(self.option.none, NOTHING), *names]

    def show(self, value: Any) -> Any:
        """A value of the setting as its widget has it."""
        if self.widget == "choice":
            return NOTHING if value is None else value
        if self.widget != "text":
            return value
        if value is None:
            return ""
        if isinstance(value, Mapping):
            return ", ".join(
                _window_text(one) if word == "default" else f"{word}={_window_text(one)}" for word, one in value.items()
            )
        if self.option.kind.name == "words":
            return ", ".join(value) or ("" if self.option.none is None else NO_WORDS)
        return _window_text(value)

    def read(self, value: Any) -> Any:
        """A widget's value as a value of the setting, not yet checked.

        Raises:
            EditRealError: Text that says no such value.
        """
        if self.widget == "text":
            return self._read_text(str(value or ""))
        if self.widget == "choice" and value == NOTHING and self.option.none is not None:
            return None
        if value is None:
            if self.option.none is None:
                raise EditRealError(
                    f"expected a value for {self.name}, got an empty field; its default is {self.default}"
                )
            return None
        if self.option.kind.name == "whole" and isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    def _read_text(self, text: str) -> Any:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        kind = self.option.kind.name
        try:
            if kind == "words":
                return [] if parts == [NO_WORDS] else parts or self.default
            if kind in ("number", "whole"):
                return self._read_number(text.strip())
            if not parts:
                return None if self.option.none is not None else self.default
            if kind == "weights":
                return read_weights(parts)
            if kind == "windows":
                return (
                    read_window(parts[0]) if len(parts) == 1 and "=" not in text else read_windows(parts, self.default)
                )
            return read_window(text.strip())
        except EditRealError as error:
            raise EditRealError(f"{self.name}: {error}") from error

    def _read_number(self, text: str) -> float | None:
        if not text:
            return None
        try:
            return int(text) if self.option.kind.name == "whole" else float(text)
        except ValueError as error:
            raise EditRealError(f"expected a number, or nothing, got {text!r}") from error


def _window_text(window: Any) -> str:
    return ":".join(f"{bound:g}" for bound in window) if isinstance(window, Sequence) else f"{window:g}"


def form_fields() -> list[Field]:
    """The settings of inversion and edit that the form has, group by group."""
    fields = [
        Field(name, option, getattr(settings, name))
        for settings in (InversionSettings(), EditSettings())
        for name, option in described(settings).items()
        if name not in ON_THE_PAGE
    ]
    groups = list(dict.fromkeys(field.option.group for field in fields))
    return sorted(fields, key=lambda field: groups.index(field.option.group))


def read_form(values: Sequence[Any], **others: Any) -> tuple[InversionSettings, EditSettings]:
    """Settings from the widgets' values, in the order of `form_fields`, and `others` by name.

    Raises:
        EditRealError: A value that does not fit.
    """
    read = {field.name: field.read(value) for field, value in zip(form_fields(), values, strict=True)}
    return split_settings({**read, **others})


def shown_values(inversion: InversionSettings, settings: EditSettings) -> list[Any]:
    """What the widgets show for settings."""
    merged = dict(_values(inversion)) | dict(_values(settings))
    return [field.show(merged[field.name]) for field in form_fields()]


def preset_values(name: str) -> list[Any]:
    """What the widgets show for a preset.

    Raises:
        EditRealError: There is no such kind.
    """
    if name not in PRESETS:
        raise EditRealError(f"expected a preset among {', '.join(PRESETS)}, got {name!r}")
    return shown_values(*split_settings(PRESETS[name]))


def preset_of(values: Sequence[Any]) -> str | None:
    """The preset for which the widgets show these values; None where there is none."""
    return next((name for name in PRESETS if preset_values(name) == list(values)), None)


def _values(settings: Any) -> Iterator[tuple[str, Any]]:
    for one in dataclasses.fields(settings):
        yield one.name, getattr(settings, one.name)
