"""Whole edits by a tiny model: what must hold whatever its random weights draw."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from editing.edit import edit_real
from editing.editor import Editor
from editing.generated import edit_generated
from tests.editing.edits import CAPTION, NEW, assert_untouched_outside, edit, half, picture, pixels
from tests.editing.pictures.sheets import panels_of

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)


@pytest.mark.parametrize("inversion", ["direct", "negative_prompt", "null_text", "null_text_search"])
def test_the_same_caption_gives_the_photo_back(editor: Editor, inversion: str) -> None:
    photo = picture()
    before = photo.copy()
    result = edit(editor, photo, new=CAPTION, inversion=inversion, max_inner_steps=1)
    assert np.array_equal(pixels(result.image), before)
    assert np.array_equal(photo, before)
    assert any("says what the old one does" in warning for warning in result.warnings)
    assert result.metrics["mask_share"] == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"reweight": {"hat": 2}}, "'hat'"),
        ({"blend_words": ["hat"]}, "'hat'"),
        ({"protect_words": ["hat"]}, "'hat'"),
        ({"cross_replace": {"hat": 0.5}}, "'hat'"),
        ({"include_mask": "missing.png"}, "include_mask, got missing.png"),
        ({"exclude_mask": np.ones((3, 3), bool)}, "exclude_mask of the photo's size"),
    ],
)
def test_what_cannot_be_edited_is_refused_before_the_inversion(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], sentence: str
) -> None:
    monkeypatch.setattr(Backbone, "denoise", lambda *_: pytest.fail("the model was asked in vain"))
    monkeypatch.setattr(Backbone, "encode", lambda *_: pytest.fail("the model was asked in vain"))
    with pytest.raises(EditRealError, match=sentence):
        edit_real(picture(), CAPTION, NEW, model=model_folder, **options)
    with pytest.raises(EditRealError, match=sentence):
        edit_generated(CAPTION, NEW, model=model_folder, **options)


def as_rotated_file(folder: Path) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(picture()).save(folder / "rotated.jpg", exif=exif)
    return folder / "rotated.jpg"


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (lambda folder: Image.fromarray(picture()), lambda source: source),
        (lambda folder: Image.fromarray(picture()).convert("L"), lambda source: source.convert("RGB")),
        (lambda folder: Image.fromarray(picture()).quantize(32), lambda source: source.convert("RGB")),
        (lambda folder: Image.fromarray(picture()).convert("CMYK"), lambda source: source.convert("RGB")),
        (
            lambda folder: picture()[..., 0].astype(np.uint16) * 257,
            lambda source: Image.fromarray((source // 257).astype(np.uint8)),
        ),
        (as_rotated_file, lambda path: ImageOps.exif_transpose(Image.open(path))),
    ],
    ids=["RGB", "L", "P", "CMYK", "16-bit", "EXIF-rotated"],
)
def test_pixels_outside_the_mask_are_the_photos_in_every_mode(
    editor: Editor, tmp_path: Path, make: Callable, read: Callable
) -> None:
    source = make(tmp_path)
    assert_untouched_outside(edit(editor, source, exclude_mask=None), pixels(read(source)))


def test_transparency_is_kept(editor: Editor) -> None:
    alpha = np.tile(np.arange(40, dtype=np.uint8) * 6, (48, 1))
    result = edit(editor, Image.fromarray(np.dstack([picture(), alpha])))
    assert result.image.mode == "RGBA"
    assert np.array_equal(np.asarray(result.image)[..., 3], alpha)
    assert_untouched_outside(result, picture())


@pytest.mark.parametrize("shape", [(32, 32), (90, 31), (33, 120), (200, 150)])
def test_photos_of_any_shape(editor: Editor, shape: tuple[int, int]) -> None:
    result = edit(editor, picture(*shape))
    assert result.image.size == result.mask.size == (shape[1], shape[0])
    assert_untouched_outside(result, picture(*shape))
    assert {heat.size for heat in result.heat_maps.values()} == {(shape[1], shape[0])}


def test_twelve_megapixels(editor: Editor) -> None:
    photo = np.kron(picture(300, 400), np.ones((10, 10, 1), np.uint8))
    assert_untouched_outside(edit(editor, photo, steps=2), photo)


@pytest.mark.parametrize("inversion", ["direct", "null_text"])
def test_the_same_call_gives_the_same_bytes(editor: Editor, inversion: str) -> None:
    results = [edit(editor, picture(), inversion=inversion, max_inner_steps=2) for _ in range(2)]
    assert results[0].image.tobytes() == results[1].image.tobytes()
    assert results[0].mask.tobytes() == results[1].mask.tobytes()


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_caption_is_refused(editor: Editor, model_folder: Path, text: str) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=1)
    for refused in (
        lambda: edit_real(picture(), text, NEW, model=model_folder),
        lambda: edit_real(picture(), CAPTION, text, model=model_folder),
        lambda: editor.invert(picture(), text),
        lambda: editor.edit(trajectory, text),
    ):
        with pytest.raises(EditRealError, match="of a few words"):
            refused()


def test_a_mistyped_path_costs_no_model(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("editing.edit.load_backbone", lambda *_: pytest.fail("loaded in vain"))
    with pytest.raises(EditRealError, match="no such file"):
        edit_real("missing.jpg", CAPTION, NEW, model=model_folder)


def test_zero_terminal_snr_is_edited(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    path = folder / "scheduler" / "scheduler_config.json"
    changes = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    editor = Editor(load_backbone(folder, device="cpu"))
    result = edit(editor, picture(), inversion="null_text", max_inner_steps=1)
    assert_untouched_outside(result, picture())
    assert editor.backbone.levels.at(999).signal == 0


def test_an_unknown_option_is_refused(editor: Editor, model_folder: Path) -> None:
    with pytest.raises(EditRealError, match="got magic"):
        edit_real(picture(), CAPTION, NEW, model=model_folder, magic=1)
    with pytest.raises(EditRealError, match="got magic"):
        editor.invert(picture(), CAPTION, magic=1)
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=2)
    with pytest.raises(EditRealError, match="got steps"):
        editor.edit(trajectory, NEW, steps=2)


@pytest.mark.parametrize("local_blend", [True, False])
@pytest.mark.parametrize("where", ["invert", "edit"])
def test_an_overflow_is_said(editor: Editor, where: str, local_blend: bool) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3)
    again = {
        "invert": lambda: editor.invert(picture(), CAPTION, inversion="direct", steps=3),
        "edit": lambda: editor.edit(trajectory, NEW, local_blend=local_blend),
    }[where]
    handle = editor.backbone.denoiser.conv_out.register_forward_hook(lambda *args: args[-1] * float("nan"))
    try:
        with pytest.raises(EditRealError, match="NaN or infinity") as caught:
            again()
    finally:
        handle.remove()
    assert "\n" not in str(caught.value)


def test_the_source_as_published_is_worse_than_the_exact_one(editor: Editor) -> None:
    exact, published = (edit(editor, picture(), exact=choice) for choice in (True, False))
    assert np.isnan(exact.metrics["reconstruction_psnr"]), "replayed, the source says nothing of guided sampling"
    assert published.metrics["reconstruction_psnr"] < published.metrics["ceiling_psnr"]
    assert pixels(exact.reconstruction).tolist() != pixels(published.reconstruction).tolist()
    for result in (exact, published):
        assert_untouched_outside(result, picture())


def test_edit_real_is_an_editors_two_calls(editor: Editor, model_folder: Path, tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "rose.png")
    options = {"inversion": "direct", "steps": 3, "cross_replace": 0.5, "refinement": "plain"}
    whole = edit_real(tmp_path / "rose.png", CAPTION, NEW, model=model_folder, device="cpu", **options)
    assert whole.image.tobytes() == edit(editor, picture(), **options).image.tobytes()
    assert {name: whole.settings[name] for name in options} == options
    assert os.listdir(tmp_path) == ["rose.png"]


def test_a_generated_image_follows_its_seed(model_folder: Path) -> None:
    options = {"model": model_folder, "device": "cpu", "steps": 2, "refinement": "plain"}
    first, again, other = (edit_generated(CAPTION, NEW, seed=seed, **options) for seed in (1, 1, 2))
    assert first.photo.size == (32, 32)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.photo.image.tobytes() != other.photo.image.tobytes()
    assert (first.settings["seed"], other.settings["seed"]) == (1, 2)
    assert_untouched_outside(first, pixels(first.photo.image))


def test_a_sheet_shows_everything(editor: Editor) -> None:
    result = edit(editor, picture(64, 64))
    photo, reconstruction, image = (Image.new("RGB", (64, 64), color) for color in ("red", "lime", "blue"))
    plain = dataclasses.replace(
        result,
        photo=dataclasses.replace(result.photo, image=photo),
        reconstruction=reconstruction,
        image=image,
        mask=Image.fromarray(255 * half(64, 64, left=True).astype(np.uint8)),
    )
    sheet = plain.sheet()
    shown = panels_of(sheet)
    assert len(shown) == 4 + len(result.heat_maps) > 4
    middles = [panel[len(panel) // 2] for panel in shown[:4]]
    assert [tuple(row[len(row) // 4]) for row in middles] == [(255, 0, 0), (0, 255, 0), (255, 0, 0), (0, 0, 255)]
    assert [(row[len(row) // 4] == row[3 * len(row) // 4]).all() for row in middles] == [True, True, False, True]
    assert all(np.ptp(panel.astype(int).sum(-1)) > 100 for panel in shown[4:]), "a word's map has no contrast"
    warned = dataclasses.replace(plain, warnings=[*plain.warnings, "something is odd"])
    assert warned.sheet().height > sheet.height
    titled = dataclasses.replace(plain, settings={**plain.settings, "new_caption": "another"})
    assert not np.array_equal(*(np.asarray(one.sheet())[:40] for one in (plain, titled)))


def test_saving_keeps_the_photos_metadata(editor: Editor, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Ada"
    Image.fromarray(picture()).save(tmp_path / "rose.png", exif=exif)
    result = edit(editor, tmp_path / "rose.png")
    result.save(tmp_path / "cat.png")
    saved = Image.open(tmp_path / "cat.png")
    assert saved.getexif()[ExifTags.Base.Artist] == "Ada"
    assert np.array_equal(pixels(saved), pixels(result.image))
    with pytest.raises(EditRealError, match="exists already"):
        result.save(tmp_path / "cat.png")
    with pytest.raises(EditRealError, match="source photo"):
        result.save(tmp_path / "rose.png")
