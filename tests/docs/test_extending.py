"""The examples of docs/extending.md, run as they stand there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backbones.families import FAMILIES
from backbones.loading import load_backbone
from editing.controls import CONTROLS
from editing.edit import edit_real
from editing.editor import Editor
from editing.result import EditResult
from inversion.invert import METHODS
from inversion.method import Method
from masks.binarize import RULES

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
SECTIONS = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.S))
PHOTO = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
CAPTION, NEW = "a photo of a red rose", "a photo of a red cat"
QUICK: dict[str, Any] = {"inversion": "direct", "steps": 4, "refinement": "plain", "device": "cpu"}


def register(title: str, registry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    """Runs a section's example and its line of the registry; the new name, and what the example defines."""
    example, line = (re.findall(rf"```{language}\n(.+?)```", SECTIONS[title], re.S)[0] for language in ("python", "py"))
    defined: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, f"{PAGE.name}: {title}", "exec"), defined)
    ((name, entry),) = eval(f"{{{line}}}", {"Method": Method, **defined}).items()
    assert name not in registry
    monkeypatch.setitem(registry, name, entry)
    return name, defined


def assert_edited(result: EditResult) -> None:
    mask, after = np.asarray(result.mask), np.asarray(result.image)
    assert (after != PHOTO).any() and np.array_equal(after[mask == 0], PHOTO[mask == 0])


@pytest.fixture
def edit(model_folder: Path) -> Callable[..., EditResult]:
    """An edit of a photo with the tiny model."""
    return lambda **options: edit_real(PHOTO, CAPTION, NEW, **{"model": model_folder, **QUICK, **options})


def test_a_threshold_rule(edit: Callable[..., EditResult], monkeypatch: pytest.MonkeyPatch) -> None:
    name, defined = register("A threshold rule", RULES, monkeypatch)
    heat = PHOTO[..., 0].astype(np.float32)
    soft = defined[name](torch.from_numpy(heat))
    assert 0.15 < float((soft > 0.5).float().mean()) < 0.25
    assert_edited(edit(mask_rule=name))


def test_an_inversion(edit: Callable[..., EditResult], monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = register("An inversion", METHODS, monkeypatch)
    result = edit(inversion=name)
    assert result.trajectory.method == name and result.settings["seed"] == 0
    assert_edited(result)


def test_a_control(edit: Callable[..., EditResult], monkeypatch: pytest.MonkeyPatch) -> None:
    name, defined = register("A control", CONTROLS, monkeypatch)
    asked = []
    features = defined["SourceFeatures"].features
    monkeypatch.setattr(
        defined["SourceFeatures"],
        "features",
        lambda self, site, hidden, step: asked.append((step, len(hidden))) or features(self, site, hidden, step),
    )
    assert_edited(edit(control=name))
    assert asked and {rows for _, rows in asked} == {3} and {step for step, _ in asked} == {0, 1, 2}


def test_a_family(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = register("A family", FAMILIES, monkeypatch)
    folder = shutil.copytree(model_folder, tmp_path / "model")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": name}))
    ours, theirs = load_backbone(folder, "cpu"), load_backbone(model_folder, "cpu")
    embeds, others = (one.condition([CAPTION]).embeds for one in (ours, theirs))
    assert embeds.shape == others.shape and not embeds.allclose(others)
    editor = Editor(ours)
    trajectory = editor.invert(PHOTO, CAPTION, inversion="direct", steps=4)
    assert_edited(editor.edit(trajectory, NEW, refinement="plain"))


def test_every_registry_has_its_example(model_folder: Path) -> None:
    assert list(SECTIONS) == ["A threshold rule", "An inversion", "A control", "A family"]
