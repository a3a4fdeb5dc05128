"""What the wheel needs to hold every module and every file beside them, and to be typed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PACKAGES = ("backbones", "inversion", "masks", "editing", "studio")


def test_setuptools_looks_for_every_package() -> None:
    assert all(f'"{package}*"' in PROJECT for package in PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_declared(package: str) -> None:
    found = re.search(rf"^{package} = (\[.*\])$", PROJECT, re.MULTILINE)
    assert found, f"package-data says nothing of {package}"
    folder = ROOT / package
    declared = {path for pattern in ast.literal_eval(found[1]) for path in folder.glob(pattern)}
    assert folder / "py.typed" in declared
    present = {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in present if path.suffix != ".py"} == declared
    modules = {path.parent for path in present if path.suffix == ".py"}
    assert all((parent / "__init__.py").is_file() for parent in modules), "a folder without __init__.py is left out"
