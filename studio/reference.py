"""`python -m studio.reference --write`: docs/reference.md and the README's list of settings, from the metadata."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from backbones.option import Option, described
from editing.settings import EditSettings, InpaintSettings, InversionSettings
from studio.commands import commands
from studio.options import READERS

PAGE, README = Path("docs/reference.md"), Path("README.md")
START, END = "<!-- settings -->\n", "<!-- end of settings -->\n"
KINDS = (InversionSettings, EditSettings, InpaintSettings)

INTRODUCTION = """\
# Reference

Every setting and every command. A setting has one name everywhere: `edit_real(..., mask_rule="midrange")` and
`EditSettings(mask_rule="midrange")` in Python, `--mask-rule midrange` on the command line.

This page is made of the settings' own descriptions by `python -m studio.reference --write`.
"""

NOTES = {"inpainting": "Of `inpaint_real`, in Python; on the command line `edit-real compare` has `--seed` alone."}
"""What is to be known of a group of settings."""


def page() -> str:
    """The reference page."""
    parts = [INTRODUCTION, "## Settings\n", *map(settings_section, groups()), values_section(), "## Commands\n"]
    parts += [command_section(name, command) for name, command in typer.main.get_group(commands).commands.items()]
    return "\n".join(parts)


def groups() -> dict[str, dict[str, tuple[Option, Any]]]:
    """Descriptions and defaults by name, by group."""
    found: dict[str, dict[str, tuple[Option, Any]]] = {}
    for kind in KINDS:
        defaults = kind()
        for name, description in described(kind).items():
            found.setdefault(description.group, {})[name] = description, getattr(defaults, name)
    return found


def settings_section(group: str) -> str:
    """A group's settings as a table, and what each of their choices is."""
    settings = groups()[group]
    rows = [
        (f"`{name}`", default_text(description, default), values_text(description), description.help)
        for name, (description, default) in settings.items()
    ]
    lines = [f"### {group.capitalize()}\n", *([NOTES[group], ""] if group in NOTES else [])]
    lines += [*table(("setting", "default", "values", "what it does"), rows)]
    for name, (description, _) in settings.items():
        if explained := list(explain(description)):
            lines += ["", f"`{name}`:", "", *explained]
    return "\n".join([*lines, ""])


def default_text(description: Option, default: Any) -> str:
    """A default, or what no value stands for."""
    if default is None:
        return description.none or "none"
    if isinstance(default, str):
        return f"`{default}`"
    return f"`{default}`" if default not in ((), {}) else "none"


def values_text(description: Option) -> str:
    """The values that a setting takes."""
    if names := description.names():
        return ", ".join(f"`{name}`" for name in names)
    kinds = {"number": "a number", "whole": "a whole number"}
    kind = kinds.get(description.kind.name, description.kind.name)
    return ", ".join(part for part in (kind, description.span()) if part)


def explain(description: Option) -> Iterator[str]:
    """A line for each choice: what its registry says, or the first sentence of the docstring of what that holds."""
    registry = description.names()
    if isinstance(registry, Mapping):
        for name, held in registry.items():
            text = held if isinstance(held, str) else inspect.getdoc(held) or ""
            yield f"- `{name}`: {text.partition(chr(10) * 2)[0].replace(chr(10), ' ')}"


def values_section() -> str:
    """How values that are no plain numbers or names are written."""
    kinds = {one.kind.name: one.kind for kind in KINDS for one in described(kind).values() if one.kind.examples}
    rows = [
        (name, ", ".join(f"`{example}`" for example in kind.examples), READERS[name].form)
        for name, kind in kinds.items()
    ]
    heads = ("values", "in Python", "on the command line")
    return "\n".join(["### How values are written\n", *table(heads, rows), ""])


def command_section(name: str, command: Any) -> str:
    """A command: what it does, its arguments and its own options; then the settings that it takes."""
    panels = [group.capitalize() for group in groups()]
    own = [one for one in command.params if getattr(one, "rich_help_panel", None) not in panels and one.name != "help"]
    lines = [f"### edit-real {name}\n", inspect.cleandoc(command.help or ""), ""]
    if own:
        rows = [(option_name(one), option_default(one), one.help or "") for one in own]
        lines += [*table(("", "default", ""), rows), ""]
    if taken := {one.name: one.rich_help_panel for one in command.params if one not in own and one.name != "help"}:
        lines += [f"Settings: {'; '.join(taken_settings(taken))}.", ""]
    return "\n".join(lines)


def taken_settings(panels: Mapping[str, str]) -> Iterator[str]:
    """The groups of a command's settings, given their panels by name, and their names where there are others too."""
    for group, settings in groups().items():
        names = [name for name in settings if panels.get(name) == group.capitalize()]
        if names:
            some = "" if len(names) == len(settings) else ": " + ", ".join(f"`{name}`" for name in names)
            yield f"[{group}](#{group}){some}"


def option_name(parameter: Any) -> str:
    """An argument in capitals, or an option as it is typed."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def option_default(parameter: Any) -> str:
    """What a command takes where an argument or an option is left out; nothing where that is told by its help."""
    if parameter.required:
        return "must be given"
    shown, default = parameter.show_default, parameter.default
    if isinstance(shown, str):
        return shown
    if isinstance(default, bool):
        return f"`{(parameter.opts if default else parameter.secondary_opts)[0]}`" if parameter.secondary_opts else ""
    return "" if default in (None, "", (), []) else f"`{default}`"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a Markdown table."""
    heads = list(heads)
    cells = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return ["| " + " | ".join(row) + " |" for row in cells]


def with_list(readme: str) -> str:
    """The README with its list of settings as it is now, between the two markers."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    rows = [
        (f"[{group}]({PAGE}#{group})", ", ".join(f"`{name}`" for name in settings))
        for group, settings in groups().items()
    ]
    return f"{before}{START}\n" + "\n".join(table(("", "settings"), rows)) + f"\n\n{END}{after}"


def main() -> None:
    """Prints the page, or writes it and the README's list with `--write`."""
    if sys.argv[1:] != ["--write"]:
        print(page(), end="")
        return
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(with_list(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
