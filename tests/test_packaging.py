"""What the wheel needs to hold every module, and to be typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PACKAGES = ("backbones", "inversion", "masks", "editing", "studio")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_modules_is_a_package(package: str) -> None:
    folders = {module.parent for module in (ROOT / package).rglob("*.py")}
    assert ROOT / package in folders
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]
    assert f'"{package}*"' in PROJECT  # where setuptools looks for packages


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert re.search(rf'^{package} = \["py\.typed"', PROJECT, re.MULTILINE)
