"""A recipe holds all of an edit, goes into a picture's file and comes back, and trusts no file."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from backbones.errors import EditRealError
from backbones.photo import open_photo
from editing.edit import edit_real
from editing.editor import Editor
from editing.recipe import Recipe, read_recipe
from editing.settings import split_settings
from inversion.invert import METHODS
from inversion.trajectory import Trajectory
from tests.backbones.photos import LOSSLESS, SUFFIXES, camera_exif, pixels_of, srgb_profile
from tests.editing.edits import CAPTION, NEW, edit, half, picture

one_model = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

EARLY = ("inversion", "steps", "guidance_scale")  # what saved inversions have always told

MANY = {
    "inversion": "null_text",
    "max_inner_steps": 1,
    "null_text_start": "caption",
    "guidance_scale": 3,
    "cross_replace": {"cat": (0.1, 0.5), "default": np.float64(0.7)},
    "self_replace": [0.0, 0.3],
    "reweight": {"cat": 2},
    "protect_words": ("photo",),
    "blend_words": [],
    "include_mask": half(48, 40, left=True),
    "exclude_mask": Image.fromarray(half(48, 40, left=False)),
    "exact": False,
    "region": (0, 0, 40, 40),
}


@one_model
def test_it_tells_what_is_not_at_its_default(editor: Editor, model_folder: Path) -> None:
    plain = edit(editor, picture(), inversion="null_text", max_inner_steps=2, steps=2, refinement="grabcut", attempts=2)
    assert plain.recipe == Recipe(CAPTION, NEW, model=str(model_folder), settings={"steps": 2})
    recipe = edit(editor, picture(), **MANY).recipe
    assert recipe.region == (0, 0, 40, 40)
    assert set(recipe.masks) == {"include_mask", "exclude_mask"}
    given = {name: value for name, value in MANY.items() if not name.endswith("mask")}
    del given["region"], given["inversion"]  # null_text is the default
    told = {**given, "steps": 3, "refinement": "plain", "attempts": 1}
    told |= {"protect_words": ["photo"], "self_replace": (0.0, 0.3)}
    assert dict(recipe.settings) == told


@one_model
def test_what_it_tells_makes_the_same_edit(editor: Editor, model_folder: Path) -> None:
    result = edit(editor, picture(), **MANY)
    recipe = Recipe.from_json(result.recipe.to_json())
    assert recipe == result.recipe
    made = {"model": recipe.model, "region": recipe.region, "device": "cpu"}
    again = edit_real(picture(), recipe.caption, recipe.new_caption, **made, **recipe.options())
    assert again.image.tobytes() == result.image.tobytes()
    assert again.recipe == recipe


@one_model
@pytest.mark.parametrize("suffix", [*SUFFIXES, ".heic"])
@pytest.mark.parametrize("exif", [True, False])
def test_nothing_else_of_a_file_depends_on_it(editor: Editor, suffix: str, exif: bool, tmp_path: Path) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    said = camera_exif()
    said[ExifTags.Base.ImageDescription] = "A garden"
    said[ExifTags.IFD.Exif] = {**said[ExifTags.IFD.Exif], ExifTags.Base.UserComment: b"ASCII\0\0\0of mine"}
    options: dict[str, Any] = {"exif": said.tobytes(), "icc_profile": srgb_profile()} if exif else {}
    Image.fromarray(picture()).save(tmp_path / "photo.png", **options)
    result = edit(editor, tmp_path / "photo.png", include_mask=half(48, 40, left=True))
    files = {recipe: tmp_path / f"{recipe}{suffix}" for recipe in (True, False)}
    for recipe, file in files.items():
        result.save(file, recipe=recipe)
    found, none = (read_recipe(files[recipe]) for recipe in (True, False))
    assert found == result.recipe.shareable() and none is None
    opened = {}
    for recipe, file in files.items():
        with Image.open(file) as image:
            image.load()
            exif_of = image.getexif()
            tags = {tag: value for tag, value in exif_of.items() if tag not in OF_THE_FILE}
            ifds = [dict(exif_of.get_ifd(ifd)) for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)]
            opened[recipe] = image.tobytes(), tags, ifds, image.info.get("icc_profile"), image.info.get("exif")
    if suffix == ".tif":  # where EXIF and XMP are tags of one directory
        opened = {recipe: parts[:-1] for recipe, parts in opened.items()}
    assert opened[True] == opened[False]
    if exif:
        assert opened[True][1][ExifTags.Base.ImageDescription] == "A garden"
        assert opened[True][2][0][ExifTags.Base.UserComment] == b"ASCII\0\0\0of mine"
        assert opened[True][3] == srgb_profile()
    photo = open_photo(files[True])
    if suffix in LOSSLESS:
        assert np.array_equal(pixels_of(photo), np.asarray(result.image))
    assert photo.size == result.image.size


OF_THE_FILE = {273, 279, 700, 34665, 34853}  # of TIFF: where its parts are, and the packet itself


@one_model
def test_a_folder_of_this_machine_is_told_by_its_name_alone(editor: Editor, model_folder: Path, tmp_path: Path) -> None:
    edit(editor, picture()).save(tmp_path / "edit.png")
    recipe = read_recipe(tmp_path / "edit.png")
    assert recipe is not None and recipe.model == model_folder.name
    assert str(model_folder.parent).encode() not in (tmp_path / "edit.png").read_bytes()
    hub = Recipe(CAPTION, NEW, model="someone/some-model")
    assert hub.shareable() == hub


@one_model
def test_words_cannot_turn_a_picture(editor: Editor, tmp_path: Path) -> None:
    caption = 'a photo of a <rose> & tiff:Orientation="6" tiff:Orientation>6'
    result = edit(editor, picture(), caption, "a photo of a cat ]]> 猫 é")
    for suffix in SUFFIXES:
        file = tmp_path / f"edit{suffix}"
        result.save(file)
        recipe = read_recipe(file)
        assert recipe is not None and (recipe.caption, recipe.new_caption) == (caption, "a photo of a cat ]]> 猫 é")
        assert open_photo(file).size == (40, 48)


@one_model
def test_what_has_no_room_is_said_and_left_out(editor: Editor, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((800, 800)) > 0.5
    result = edit(editor, np.zeros((800, 800, 3), np.uint8), include_mask=noise)
    with pytest.warns(UserWarning, match="JPEG has room for 65000 bytes"):
        result.save(tmp_path / "edit.jpg")
    assert read_recipe(tmp_path / "edit.jpg") is None
    result.save(tmp_path / "edit.png")
    recipe = read_recipe(tmp_path / "edit.png")
    assert recipe is not None
    assert np.array_equal(np.asarray(recipe.options()["include_mask"]) > 0, noise)


@one_model
@pytest.mark.parametrize("inversion", METHODS)
def test_settings_of_every_inversion_are_told_as_they_were_given(
    editor: Editor, inversion: str, tmp_path: Path
) -> None:
    given = {"inversion": inversion, "steps": 4, "skip": 0.25, "noise_seed": 3, "max_inner_steps": 1}
    trajectory = editor.invert(picture(), CAPTION, **given)
    told = {name: value for name, value in {**given, "attempts": 1}.items() if value != "null_text"}
    first = editor.edit(trajectory, NEW, attempts=1)
    assert dict(first.recipe.settings) == told
    plain = editor.edit(editor.invert(picture(), CAPTION, inversion=inversion, steps=2), NEW, attempts=1).recipe
    assert set(plain.settings) <= {"inversion", "steps", "attempts"}  # not what the method has chosen of itself
    trajectory.save(tmp_path / "rose.safetensors")
    assert editor.edit(Trajectory.load(tmp_path / "rose.safetensors"), NEW, attempts=1).recipe == first.recipe
    early = dataclasses.replace(trajectory, asked=None, guidance_scale=3.0)
    assert dict(editor.edit(early, NEW, attempts=1).recipe.settings) == {
        name: value for name, value in {**told, "guidance_scale": 3.0}.items() if name in (*EARLY, "attempts")
    }


@one_model
def test_a_generated_picture_has_its_seed(editor: Editor, tmp_path: Path) -> None:
    trajectory, _ = editor.generate(CAPTION, seed=7, steps=2, guidance_scale=3)
    recipe = editor.edit(trajectory, NEW).recipe
    early = editor.edit(dataclasses.replace(trajectory, asked=None), NEW).recipe
    assert early == recipe
    assert recipe.seed == 7 and dict(recipe.settings) == {"steps": 2, "guidance_scale": 3}
    assert Recipe.from_json(recipe.to_json()) == recipe


@one_model
def test_a_generated_picture_is_saved_with_its_way(editor: Editor, tmp_path: Path) -> None:
    trajectory, photo = editor.generate(CAPTION, seed=7, steps=2)
    trajectory.save(tmp_path / "rose.safetensors")
    again = editor.edit(Trajectory.load(tmp_path / "rose.safetensors"), NEW, photo=photo, attempts=1)
    assert again.image.tobytes() == editor.edit(trajectory, NEW, attempts=1).image.tobytes()


@one_model
@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 2**64}, {"inversion": "edict"}, {"max_inner_steps": 9}])
def test_what_cannot_be_asked_of_a_generated_picture(editor: Editor, options: dict[str, Any]) -> None:
    with pytest.raises(EditRealError, match=f"expected.*{next(iter(options))}"):
        editor.generate(CAPTION, steps=2, **options)


@pytest.mark.parametrize("name", ["other.txt", "missing.png", "plain.png"])
def test_files_without_a_recipe(name: str, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("notes")
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    if name == "plain.png":
        assert read_recipe(tmp_path / name) is None
        return
    with pytest.raises(EditRealError, match=name):
        read_recipe(tmp_path / name)


GOOD = json.loads(Recipe(CAPTION, NEW, masks={}, settings={"steps": 3}).to_json())
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nnothing").decode()


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {**GOOD, "format": "edit-real recipe 99"},
        {**GOOD, "extra": 1},
        {**GOOD, "caption": None},
        {**GOOD, "caption": " "},
        {**GOOD, "caption": "a \x1b[2Jrose"},
        {**GOOD, "caption": "a \ud800 rose"},
        {name: value for name, value in GOOD.items() if name != "new_caption"},
        {**GOOD, "model": 3},
        {**GOOD, "dtype": "int8"},
        {**GOOD, "seed": -1},
        {**GOOD, "seed": 1e400},
        {**GOOD, "region": [0, 0, 8]},
        {**GOOD, "region": [0, 0, 8, "8"]},
        {**GOOD, "region": "0 0 8"},
        {**GOOD, "settings": []},
        {**GOOD, "settings": {"steps": 0}},
        {**GOOD, "settings": {"steps": "3"}},
        {**GOOD, "settings": {"inversion": "generated"}},
        {**GOOD, "settings": {"unknown": 1}},
        {**GOOD, "settings": {"include_mask": "/etc/passwd"}},
        {**GOOD, "settings": {"emphasis": float("nan")}},
        {**GOOD, "settings": {"reweight": {"\x07": 1}}},
        {**GOOD, "masks": "mask.png"},
        {**GOOD, "masks": {"steps": PNG}},
        {**GOOD, "masks": {"include_mask": "not base64!"}},
        {**GOOD, "masks": {"include_mask": None}},
        {**GOOD, "masks": {"include_mask": PNG}},
    ],
)
def test_foreign_and_damaged_recipes_are_refused_in_one_sentence(content: Any) -> None:
    with pytest.raises(EditRealError, match=r"^expected a recipe .*, got: .+") as refused:
        Recipe.from_json(json.dumps(content))
    assert len(str(refused.value)) < 1000 and "\n" not in str(refused.value) and "\x1b" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"caption":' * 100_000, " " * 1_000_001, "1" * 100_000])
def test_texts_that_are_no_json(text: str) -> None:
    with pytest.raises(EditRealError, match=r"^expected a recipe"):
        Recipe.from_json(text)
    assert sys.getrecursionlimit() < 100_000


def test_a_mask_far_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = half(48, 40, left=True)
    recipe = Recipe(CAPTION, NEW, masks={"include_mask": as_png(mask)})
    assert split_settings(Recipe.from_json(recipe.to_json()).options())[1].include_mask is not None
    monkeypatch.setattr("editing.recipe.MAX_PIXELS", 1000)
    with pytest.raises(EditRealError, match="40x48 pixels"):
        Recipe.from_json(recipe.to_json())


def as_png(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()
