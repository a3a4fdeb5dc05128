import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import editing
from backbones.families import FAMILIES
from editing.propose import Proposal
from studio import cli, commands
from tests.editing.pictures.sheets import panels_of

CAPTION = "a photo of a red rose"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    levels = np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)
    Image.fromarray(levels).save(path)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit status of `edit-real ARGUMENTS`."""
    monkeypatch.setattr("sys.argv", ["edit-real", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    return int(exit_info.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["edit", "~/photo.png", CAPTION, "a photo of a green rose", "--out=~/photo.png"],
            "is the source photo itself",
        ),
        (["edit", "~/photo.png", CAPTION, "a cat", "-o", "~/out.png", "--include-mask=~/mask.png"], "include_mask"),
        (["recall", "~/photo.png"], "none in"),
        (["batch", "~/jobs.csv", "-o", "out"], "found nothing at"),
    ],
)
def test_paths_may_start_from_home(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, arguments: list[str], sentence: str
) -> None:
    monkeypatch.setenv("HOME", str(photo.parent))
    monkeypatch.setenv("USERPROFILE", str(photo.parent))
    assert run(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said and "~" not in said


def test_edit_writes_what_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, model_folder: Path
) -> None:
    before, folder = photo.read_bytes(), photo.parent
    outs = [folder / name for name in ("out.png", "sheet.png", "mask.png")]
    arguments = [
        "edit",
        photo,
        CAPTION,
        "a photo of a green rose",
        "-o",
        outs[0],
        "--model",
        model_folder,
        "--steps",
        3,
    ]
    arguments += ["--sheet", outs[1], "--mask-out", outs[2], "--reweight", "green=2", "--cross-replace", "green=0:0.4"]
    arguments += ["--texture", 0.5, "--cell-share", 0.1]
    assert run(monkeypatch, *arguments, "--inversion", "negative_prompt") == 0
    assert photo.read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["mask.png", "out.png", "photo.png", "sheet.png"]
    image, mask = (np.asarray(Image.open(path).convert("RGB")) for path in (outs[0], outs[2]))
    assert (image[mask == 0] == np.asarray(Image.open(photo))[mask == 0]).all()
    said = capsys.readouterr()
    assert "ceiling" in said.out and "--model" in said.err
    assert "%|" not in said.err  # no progress bar where there is no terminal


def test_a_saved_inversion_gives_the_same_edit(
    monkeypatch: pytest.MonkeyPatch, photo: Path, model_folder: Path
) -> None:
    folder = photo.parent
    common = ["--model", model_folder]
    saved, first, second = folder / "rose.safetensors", folder / "first.png", folder / "second.png"
    options = ["--steps", 3, "--inversion", "direct"]
    new_caption = "a photo of a green rose"
    assert run(monkeypatch, "invert", photo, CAPTION, "-o", saved, *common, *options) == 0
    assert run(monkeypatch, "edit", photo, CAPTION, new_caption, "-o", first, *common, *options) == 0
    assert run(monkeypatch, "edit", photo, CAPTION, new_caption, "-o", second, *common, "--trajectory", saved) == 0
    assert first.read_bytes() == second.read_bytes()


def test_a_mask_before_an_edit_can_be_handed_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, model_folder: Path
) -> None:
    folder = photo.parent
    saved, mask, overlay, edited = (folder / f"{name}" for name in ("rose.safetensors", "m.png", "o.png", "e.png"))
    common, options = ["--model", model_folder], ["--steps", 3]
    arguments = ["mask", photo, CAPTION, "a photo of a green rose", "--exclude-mask", folder / "top.png"]
    top = np.zeros((40, 48), np.uint8)
    top[:20] = 255
    Image.fromarray(top).save(folder / "top.png")
    assert run(monkeypatch, *arguments, "-o", mask, "--overlay", overlay, *common, *options) == 0
    said = capsys.readouterr().out
    assert "% of the photo" in said and "--include-mask" in said
    found, original = np.asarray(Image.open(mask).convert("L")), np.asarray(Image.open(photo))
    assert found.shape == (40, 48) and found[20:].any() and not found[:20].any()
    shown = np.asarray(Image.open(overlay).convert("RGB"))
    assert (shown[found == 255] == original[found == 255]).all() and shown[found == 0].max() < 80

    assert run(monkeypatch, "invert", photo, CAPTION, "-o", saved, *common, *options, "--inversion", "direct") == 0
    arguments += ["-o", mask, "--overwrite", *common]
    before = mask.read_bytes()
    assert run(monkeypatch, *arguments, "--trajectory", saved) == 0
    assert mask.read_bytes() == before
    assert run(monkeypatch, *arguments, "--trajectory", saved, "--steps", 3) == 2
    edit = ["edit", *arguments[1:4], "-o", edited, *common, "--trajectory", saved]
    assert run(monkeypatch, *edit, "--include-mask", mask) == 0


def test_a_recipe_can_be_left_out(monkeypatch: pytest.MonkeyPatch, photo: Path, model_folder: Path) -> None:
    out = photo.parent / "out.png"
    arguments = ["edit", photo, CAPTION, "a photo of a green rose", "-o", out, "--model", model_folder, "--steps", 2]
    assert run(monkeypatch, *arguments, "--no-recipe") == 0
    assert b"green" not in out.read_bytes()
    assert run(monkeypatch, *arguments, "--overwrite") == 0
    assert b"green" in out.read_bytes()


def test_an_empty_mask_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, model_folder: Path
) -> None:
    out = photo.parent / "mask.png"
    arguments = ["mask", photo, CAPTION, "a photo of a red rose with a hat", "-o", out, "--blend-words", "hat"]
    assert run(monkeypatch, *arguments, "--model", model_folder, "--steps", 2) == 0
    assert Image.open(out).convert("L").getextrema() == (0, 0)
    assert "mask is empty" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "ending"), [("invert", "safetensors"), ("attention", "png"), ("mask", "png")])
def test_words_that_the_model_was_never_shown_are_said_where_nothing_is_edited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, name: str, ending: str
) -> None:
    captions = ["a photo of a navy rose", "a photo of a red rose"][: 1 + (name == "mask")]
    assert run(monkeypatch, name, photo, *captions, "-o", photo.parent / f"out.{ending}", "--steps", 1) == 0
    assert "warning: this model was never shown 'navy' (say 'blue')" in capsys.readouterr().err


def test_what_is_no_saved_inversion(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, model_folder: Path
) -> None:
    out = photo.parent / "out.png"
    arguments = ["edit", photo, CAPTION, "a cat", "-o", out, "--model", model_folder, "--trajectory", photo]
    assert run(monkeypatch, *arguments) == 2
    assert "saved inversion" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("options", "maps"), [([], {1: 6, 4: 6}), (["--over-steps"], {1: 3, 4: 12})])
@pytest.mark.parametrize("steps", [4, 1])
def test_attention_shows_every_word_or_each_thing_over_the_steps(
    monkeypatch: pytest.MonkeyPatch,
    photo: Path,
    model_folder: Path,
    steps: int,
    options: list[str],
    maps: dict[int, int],
) -> None:
    out = photo.parent / "attention.png"
    model = ["--model", model_folder]
    assert run(monkeypatch, "attention", photo, CAPTION, "-o", out, *model, "--steps", steps, *options) == 0
    first, *heats = panels_of(Image.open(out))
    assert len(heats) == maps[steps]
    grid = [first[round(y), round(x)] for y in np.linspace(9, 200, 9) for x in np.linspace(9, 200, 9)]
    assert np.ptp(grid, axis=0).min() > 100, "the photo is not the first"
    assert all(np.ptp(heat.astype(int).sum(-1)) > 100 for heat in heats), "a map has no contrast"


def test_features_shows_every_layer_at_the_steps_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, model_folder: Path
) -> None:
    out = photo.parent / "features.png"
    arguments = ["features", photo, CAPTION, "-o", out, "--model", model_folder, "--steps", 3]
    assert run(monkeypatch, *arguments, "--at", 0, "--at", 3) == 2
    assert "expected steps between 0 and 2 to look at, got 3" in capsys.readouterr().err and not out.exists()
    assert run(monkeypatch, *arguments, "--at", 0, "--at", 2) == 0
    assert len(set(Image.open(out).convert("L").resize((64, 64)).tobytes())) > 30


def compare_arguments(photo: Path, model_folder: Path, out: Path) -> list[object]:
    common = ["-o", out, "--model", model_folder, "--steps", 2, "--inversion", "direct"]
    return ["compare", photo, CAPTION, "a photo of a green rose", *common]


def test_compare_writes_a_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, model_folder: Path
) -> None:
    folder, mask = photo.parent, photo.parent / "mask.png"
    Image.fromarray(np.tri(40, 48, dtype=np.uint8) * 255).save(mask)
    before, out = photo.read_bytes(), folder / "comparison"
    arguments = compare_arguments(photo, model_folder, out)
    options = ["--mask", mask, "--seed", 3, "--protect-words", "photo", "--reweight", "green=2", "--exclude-mask", mask]
    assert run(monkeypatch, *arguments, *options) == 0
    assert photo.read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"comparison", "mask.png", "photo.png"}
    names = {path.name for path in out.iterdir()}
    assert {"index.html", "comparison.csv", "sheet.png", "photo.png", "blended-inpainting-your-mask.png"} <= names
    said = capsys.readouterr()
    assert "| Telea, your mask |" in said.out and "index.html" in said.out
    edited, original = (np.asarray(Image.open(path)) for path in (out / "edit-real.png", photo))
    assert (edited[np.tri(40, 48) > 0] == original[np.tri(40, 48) > 0]).all()  # what --exclude-mask is for
    assert run(monkeypatch, *arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(monkeypatch, *arguments, "--overwrite") == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--mask", "missing.png"], "missing.png"),
        (["--mask", "photo.png", "--seed", "-1"], "seed"),
        (["-o", "photo.png"], "is a file"),
        (["-o", "."], "the photo's"),
        (["--inpaint-model", "no/such-model"], "no/such-model"),
        (["--region", "0", "0", "900", "9"], "region"),
        (["--reweight", "hat=2"], "'hat'"),
        (["--self-replace", ""], "window"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    photo: Path,
    model_folder: Path,
    options: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(photo.parent)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    arguments = compare_arguments(photo, model_folder, photo.parent / "out")
    assert run(monkeypatch, *arguments, *options) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("edit-real: ")
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


def test_models_says_what_the_bundled_one_knows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert run(monkeypatch, "models") == 0
    said = capsys.readouterr().out
    assert "tulip" in said and "--model" in said
    assert all(pipeline in said and family.title in said for pipeline, family in FAMILIES.items())


def test_a_proposal_is_a_caption_or_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, model_folder: Path
) -> None:
    assert run(monkeypatch, "propose", photo, "--model", model_folder) == 2
    assert "expected a model that lists its words" in capsys.readouterr().err
    for found, said in ((Proposal("a photo of a cat", "cat", None, 0.1, 0.0), "a photo of a cat\n"), (None, "")):
        monkeypatch.setattr("editing.editor.propose_caption", lambda *_, found=found: found)
        assert run(monkeypatch, "propose", photo) == 0
        heard = capsys.readouterr()
        assert heard.out == said and ("no caption" in heard.err) == (found is None)


def test_the_demo_edits_every_sample_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, "demo", "-o", tmp_path / "demo", "--steps", 6) == 0
    assert run(monkeypatch, "demo", "-o", tmp_path / "demo") == 2  # --overwrite would do it again
    for name, words in {"flower": ("pink", "white"), "astronaut": ("green", "purple")}.items():
        photo = np.asarray(Image.open(tmp_path / f"demo/{name}.png"))
        for word in words:
            image, mask = (np.asarray(Image.open(tmp_path / f"demo/{name}-{word}{end}.png")) for end in ("", "-mask"))
            assert image.shape == photo.shape
            assert (image[mask == 0] == photo[mask == 0]).all()
            assert 0.1 < (mask > 0).mean() < 0.5


@pytest.mark.parametrize("out", [".", "photo.png"])
def test_the_demo_replaces_nothing_unasked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, out: str
) -> None:
    monkeypatch.chdir(photo.parent)
    before = photo.read_bytes()
    assert run(monkeypatch, "demo", "-o", out) == 2
    assert capsys.readouterr().err.startswith("edit-real: expected a")
    assert photo.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.png", CAPTION, "a cat", "-o", "out.png"], "missing.png"),
        (["photo.png", CAPTION, "a cat", "-o", "out.txt"], "out.txt"),
        (["photo.png", CAPTION, "a cat", "-o", "nowhere/out.png"], "nowhere"),
        (["photo.png", CAPTION, "a cat", "-o", "photo.png"], "source photo itself"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--model", "no/such-model"], "no/such-model"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--sheet", "./out.png"], "more than once"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--cross-replace", "80"], "cross_replace"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--guidance-scale", "1"], "direct"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--reweight", "cat"], "pink=2"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--reweight", "hat=2"], "'hat'"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--self-replace", "x"], "window"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--steps", "0"], "steps"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--inversion", "magic"], "null_text"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--dtype", "int8"], "float32"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--device", "toaster"], "toaster"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--blend-words", "tulip"], "'tulip'"),
        (["photo.png", CAPTION, "a cat", "-o", "out.png", "--trajectory", "photo.png"], "--steps beside --trajectory"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    photo: Path,
    model_folder: Path,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(photo.parent)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    before = photo.read_bytes()
    model = [] if "--model" in arguments else ["--model", model_folder]
    steps = [] if "--steps" in arguments else ["--steps", 2]
    assert run(monkeypatch, "edit", *arguments, *model, *steps) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("edit-real: ")
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]
    assert photo.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["edit", "photo.png", "", "a cat"], "expected a caption of a few words"),
        (["edit", "photo.png", CAPTION, " \n"], "expected a new caption of a few words"),
        (["edit", "photo.png", CAPTION, "a cat", "--exclude-mask", "missing.png"], "as exclude_mask"),
        (["edit", "photo.png", CAPTION, "a cat", "--include-mask", "small.png"], "include_mask of the photo's size"),
        (["edit", "photo.png", CAPTION, "a cat", "--region", 0, 0, 900, 9], "region"),
        (["edit", "photo.png", CAPTION, "a cat", "--dtype", "int8"], "float32"),
        (["edit", "photo.png", CAPTION, "a cat", "--device", "toaster"], "toaster"),
        (["edit", "photo.png", CAPTION, "a cat", "--mask-rule", "magic"], "mask_rule among otsu"),
        (["edit", "photo.png", CAPTION, "a cat", "--guidance-scale", 1], "guidance_scale above 1"),
        (["edit", "photo.png", CAPTION, "a cat", "--trajectory", "photo.png"], "saved inversion"),
        (["edit", "missing.png", CAPTION, "a cat"], "missing.png"),
        (["invert", "missing.png", CAPTION], "missing.png"),
        (["invert", "photo.png", ""], "expected a caption of a few words"),
        (["invert", "photo.png", CAPTION, "--region", 0, 0, 900, 9], "region"),
        (["invert", "photo.png", CAPTION, "--steps", 0], "expected steps"),
        (["attention", "missing.png", CAPTION], "missing.png"),
        (["attention", "photo.png", "\t"], "expected a caption of a few words"),
        (["attention", "photo.png", CAPTION, "--steps", 0], "expected steps"),
        (["attention", "photo.png", CAPTION, "--region", 0, 0, 900, 9], "region"),
        (["mask", "photo.png", CAPTION, " "], "expected a new caption of a few words"),
        (["mask", "photo.png", CAPTION, "a cat", "--overlay", "nowhere/o.png"], "expected an existing folder"),
        (["mask", "photo.png", CAPTION, "a cat", "--include-mask", "small.png"], "include_mask of the photo's size"),
        (["propose", "missing.png"], "missing.png"),
        (["propose", "photo.png", "--region", 0, 0, 900, 9], "region"),
        (["compare", "missing.png", CAPTION, "a cat"], "missing.png"),
        (["compare", "photo.png", CAPTION, ""], "expected a new caption of a few words"),
        (["compare", "photo.png", CAPTION, "a cat", "--mask", "small.png"], "mask of the photo's size"),
        (["compare", "photo.png", CAPTION, "a cat", "--seed", -1], "expected seed"),
        (["compare", "photo.png", CAPTION, "a cat", "--exclude-mask", "missing.png"], "as exclude_mask"),
        (["compare", "photo.png", CAPTION, "a cat", "--region", 0, 0, 900, 9], "region"),
    ],
)
def test_what_can_be_told_without_a_model_is_told_before_one_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, arguments: list[str], sentence: str
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(commands, "load_backbone", load)
    monkeypatch.chdir(photo.parent)
    Image.new("L", (4, 4), 255).save("small.png")
    out = {"invert": "out.safetensors", "compare": "out"}.get(arguments[0], "out.png")
    assert run(monkeypatch, *arguments, *([] if arguments[0] == "propose" else ["-o", out])) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1 and said.startswith("edit-real: expected")
    assert not Path(out).exists()


def test_a_saved_inversion_of_another_photo_is_refused_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, photo: Path, model_folder: Path
) -> None:
    saved, other = photo.parent / "rose.safetensors", photo.parent / "other.png"
    options = ["--model", model_folder, "--steps", 2, "--inversion", "direct"]
    assert run(monkeypatch, "invert", photo, CAPTION, "-o", saved, *options) == 0
    Image.new("RGB", (40, 40), "red").save(other)
    monkeypatch.setattr(commands, "load_backbone", lambda *_, **__: pytest.fail("a model was loaded"))
    out = photo.parent / "out.png"
    assert run(monkeypatch, "edit", other, CAPTION, "a cat", "-o", out, "--trajectory", saved) == 2
    assert "of another photo" in capsys.readouterr().err
    assert run(monkeypatch, "edit", photo, "a cat", "a dog", "-o", out, "--trajectory", saved) == 2
    assert "caption" in capsys.readouterr().err


def test_the_version_is_the_packages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"edit-real {editing.__version__}\n"


def test_the_commands_are_those_of_the_list() -> None:
    functions = {info.callback.__name__: info.callback.__doc__ for info in commands.commands.registered_commands}
    assert functions == cli.COMMANDS


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["edti"]])
def test_help_comes_without_what_only_commands_need(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from studio import cli; sys.argv[0] = 'edit-real'\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'cv2', 'matplotlib', 'scipy'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent.parent)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.endswith("loaded: []\n"), done.stdout + done.stderr
