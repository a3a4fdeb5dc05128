"""The version, in a source tree and outside of one."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

import editing
from editing import version

ROOT = Path(__file__).resolve().parent.parent.parent


def test_in_the_source_tree_it_is_the_projects() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{editing.__version__}"\n' in project
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", editing.__version__)


def test_elsewhere_it_is_what_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(version, "__file__", str(tmp_path / "editing" / "version.py"))
    monkeypatch.setattr(metadata, "version", {"edit-real": "9.8.7"}.__getitem__)
    assert version.find_version() == "9.8.7"
    (tmp_path / "pyproject.toml").write_text('name = "something else"\nversion = "1.2.3"\n')
    assert version.find_version() == "9.8.7"


def test_where_nothing_tells_it_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(version, "__file__", str(tmp_path / "editing" / "version.py"))
    monkeypatch.setattr(metadata, "version", missing)
    assert version.find_version() == "unknown"
