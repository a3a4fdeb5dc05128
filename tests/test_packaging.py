"""What the wheel needs to hold every module, and to be typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PACKAGES = ("backbones", "inversion", "masks", "editing", "studio")


def test_setuptools_looks_for_every_package() -> None:
    assert all(f'"{package}*"' in PROJECT for package in PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert re.search(rf'^{package} = \["py\.typed"', PROJECT, re.MULTILINE)
