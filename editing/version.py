"""The version of edit-real that is imported."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path


def find_version() -> str:
    """Of the source tree where this is one, else of what is installed; `unknown` where neither tells."""
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if project.is_file():
        text = project.read_text(encoding="utf-8")
        found = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
        if found and re.search(r'^name = "edit-real"$', text, re.MULTILINE):
            return found[1]
    try:
        return metadata.version("edit-real")
    except metadata.PackageNotFoundError:
        return "unknown"


__version__ = find_version()
