"""What is printed of a recipe makes the same edit when it is typed."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.option import described
from editing.recipe import Recipe, read_recipe
from editing.settings import EditSettings, InversionSettings
from studio import cli
from studio.options import READERS, typed_option
from studio.recall import command_line, describe, python_code, write_masks
from tests.studio.test_options import GIVEN

ROOT = Path(cli.__file__).parent.parent
CAPTION, NEW = "a photo of a red rose", "a photo of a 'green' rose, $HOME"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "my photo.png"
    levels = np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)
    Image.fromarray(levels).save(path)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit status of `edit-real ARGUMENTS`."""
    monkeypatch.setattr("sys.argv", ["edit-real", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    return int(exit_info.value.code or 0)


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_both_texts_make_the_same_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, model_folder: Path
) -> None:
    monkeypatch.chdir(photo.parent)
    half = np.zeros((40, 48), np.uint8)
    half[:, :30] = 255
    Image.fromarray(half).save("half.png")
    options = [
        "--steps",
        3,
        "--guidance-scale",
        4,
        "--max-inner-steps",
        1,
        "--emphasis",
        -1,
        "--include-mask",
        "half.png",
    ]
    options += ["--cross-replace", "green=0:0.4", "--self-replace", "0.1:0.4", "--reweight", "rose=-2.5"]
    options += ["--blend-words", "", "--refinement", "plain", "--no-keep-detail", "--region", 0, 0, 40, 40]
    options += ["--model", model_folder, "--dtype", "bfloat16"]
    assert run(monkeypatch, "edit", photo, CAPTION, NEW, "-o", "edit.png", *options) == 0
    assert run(monkeypatch, "recall", "edit.png", "--masks", "masks") == 0
    said = capsys.readouterr().out
    (line,) = (line for line in said.splitlines() if line.startswith("edit-real edit "))
    recipe = read_recipe("edit.png")
    assert recipe is not None and recipe.model == model_folder.name
    Path("half.png").unlink()  # the mask is in the file
    Path("PATH/TO").mkdir(parents=True)
    os.symlink(model_folder, f"PATH/TO/{model_folder.name}")  # whose name alone is told
    assert said.count(f"# the model was a folder or a file called '{model_folder.name}'; put its path for ") == 2

    typed = shlex.split(line.replace("photo.jpg", shlex.quote(photo.name)).replace("edit.png", "typed.png"))
    assert run(monkeypatch, *typed[1:]) == 0
    code = said.partition("Python:\n\n")[2].replace("photo.jpg", photo.name).replace("edit.png", "python.png")
    alike = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums are split among threads
    script = subprocess.run([sys.executable, "-c", code], env={**os.environ, **alike}, capture_output=True, text=True)
    assert script.returncode == 0, script.stderr
    made = [Path(name).read_bytes() for name in ("edit.png", "typed.png", "python.png")]
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_typed_is_read_as_it_was(name: str) -> None:
    kind = InversionSettings if name in described(InversionSettings) else EditSettings
    _, value = GIVEN[name]
    option, *texts = typed_option(kind, name, value)
    reader = READERS[described(kind)[name].kind.name]
    if isinstance(value, bool):
        assert [option, *texts] == [f"--{'' if value else 'no-'}{name.replace('_', '-')}"]
    elif reader.read:
        assert reader.read(texts, None) == value if reader.type == list[str] else reader.read(texts[0], None) == value
    else:
        assert reader.type(texts[0]) == value


def test_a_model_that_is_found_anywhere_needs_no_path() -> None:
    for model in ("bundled", "some/model"):
        recipe = Recipe(CAPTION, "a cat", model)
        assert "PATH/TO" not in command_line(recipe) + python_code(recipe)


def test_a_models_name_that_somebody_made_up_is_no_command() -> None:
    recipe = Recipe(CAPTION, "a cat", "sd\nrm photo.jpg")
    note, line = command_line(recipe).split("\n", 1)
    assert note.startswith("# ") and shlex.split(line)[-1] == "PATH/TO/sd\nrm photo.jpg"


def test_words_with_dashes_are_no_options() -> None:
    words = shlex.split(command_line(Recipe("-5 degrees", "- --out", settings={"steps": 3})))
    assert words == ["edit-real", "edit", "-o", "edit.png", "--steps", "3", "--", "photo.jpg", "-5 degrees", "- --out"]


def test_a_generated_picture_is_made_again_in_python() -> None:
    recipe = Recipe(CAPTION, "a cat", seed=7, settings={"steps": 3})
    assert command_line(recipe).startswith("# ")
    calls: list[tuple[Any, ...]] = []
    code = python_code(recipe).replace("from editing import edit_generated", "").replace("result.save", "print")
    exec(code, {"edit_generated": lambda *given, **named: calls.append((given, named))})
    assert calls == [((CAPTION, "a cat"), {"seed": 7, "steps": 3})]


def test_a_description_tells_all_but_the_masks_pixels() -> None:
    settings = {"steps": 3, "reweight": {"cat": 2.0}}
    recipe = Recipe(CAPTION, "a cat", "some/model", (0, 0, 8, 8), "float16", 7, settings, {"include_mask": b""}, "0.9")
    said = describe(recipe)
    for part in (CAPTION, "a cat", "some/model", "0 0 8 8", "float16", "seed 7", "{'cat': 2.0}", "include_mask", "0.9"):
        assert part in said


def test_masks_are_written_as_pictures(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    mask = np.tri(8, dtype=bool)
    Image.fromarray(mask).save(buffer, "PNG")
    write_masks(Recipe(CAPTION, "a cat", masks={"exclude_mask": buffer.getvalue()}), tmp_path / "masks")
    (file,) = (tmp_path / "masks").iterdir()
    assert file.name == "exclude-mask.png"
    assert np.array_equal(np.asarray(Image.open(file).convert("L")) > 127, mask)


@pytest.mark.parametrize(("name", "sentence"), [("plain.png", "none in plain.png"), ("missing.png", "missing.png")])
def test_what_was_not_written_here_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path, name: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("plain.png")
    assert run(monkeypatch, "recall", name) == 2
    said = capsys.readouterr().err
    assert said.startswith("edit-real: expected") and sentence in said and said.count("\n") == 1
