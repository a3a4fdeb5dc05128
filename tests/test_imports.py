"""The packages import downward only, and importing them does nothing else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "backbones": set(),
    "inversion": {"backbones"},
    "masks": {"backbones"},
    "editing": {"backbones", "inversion", "masks"},
    "studio": {"backbones", "inversion", "masks", "editing"},
}
SHIPPED = set(MAY_IMPORT)
BESIDE_MAY_IMPORT = {
    "workshop": {"backbones"},
    "training": {"backbones", "inversion", "masks", "workshop"},
    "benchmarks": {*SHIPPED, "workshop", "training"},
}
"""Packages of the repository that are not installed."""
NEVER_SHIPPED = {"tests", "examples", *BESIDE_MAY_IMPORT}
OPTIONAL = ("gradio", "pillow_heif")

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
*packages, optional = sys.argv[1:]
for package in packages:
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, package + "."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name not in optional.split(","):
                raise
"""

HEAVY = ("matplotlib", "sklearn", "diffusers", "transformers")
"""What draws or measures only, or runs models, and takes its time to load."""

IMPORT_EDITING = """
import importlib, sys
import editing
for name in editing.__all__:
    getattr(editing, name)
importlib.import_module("studio.commands")
print(sorted(set(sys.argv[1:]) & {name.split(".")[0] for name in sys.modules}))
"""


def imported_packages(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Top-level package and line of every absolute import, wherever in the module it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], node.lineno


@pytest.mark.parametrize("package", [*MAY_IMPORT, *BESIDE_MAY_IMPORT])
def test_imports_run_downward(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules, f"expected the package {package} in {ROOT}, found no module"
    allowed = {**MAY_IMPORT, **BESIDE_MAY_IMPORT}[package]
    forbidden = (SHIPPED | NEVER_SHIPPED) - allowed - {package}
    climbing = [
        f"{module.relative_to(ROOT)}:{line} imports {name}"
        for module in modules
        for name, line in imported_packages(ast.parse(module.read_text(encoding="utf-8")))
        if name in forbidden
    ]
    assert not climbing, f"{package} may import {sorted(allowed) or 'none of the others'}: {climbing}"


def test_importing_prints_and_writes_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING, *MAY_IMPORT, ",".join(OPTIONAL)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_what_draws_or_runs_models_is_loaded_only_when_it_does(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EDITING, *HEAVY], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
