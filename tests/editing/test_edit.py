import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from editing.edit import edit_real
from editing.editor import PHOTOS_KEPT, Editor
from editing.generated import edit_generated
from editing.result import EditResult
from editing.settings import EditSettings, split_settings
from inversion.trajectory import Trajectory

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

CAPTION, NEW = "a photo of a red rose", "a photo of a red cat"


def picture(height: int = 48, width: int = 40, seed: int = 0) -> np.ndarray:
    """A gradient with noise, `(H, W, 3)` uint8."""
    y, x = np.mgrid[:height, :width]
    gradient = np.stack([255 * y / height, 255 * x / width, 128 + 100 * np.sin(x / 9)], -1)
    return (gradient + np.random.default_rng(seed).normal(0, 8, gradient.shape)).clip(0, 255).astype(np.uint8)


def half(height: int, width: int, *, left: bool) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[:, : width // 2] = left
    mask[:, width // 2 :] = not left
    return mask


def edit(editor: Editor, img: Any, caption: str = CAPTION, new: str = NEW, **options: Any) -> EditResult:
    region = options.pop("region", None)
    # The maps of random weights are noise, which GrabCut may well grow to the whole frame.
    inversion, settings = split_settings({"inversion": "direct", "steps": 3, "refinement": "plain", **options})
    return editor.edit(editor.invert(img, caption, inversion, region=region), new, settings)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def assert_untouched_outside(result: EditResult, photo: np.ndarray) -> None:
    mask, after = np.asarray(result.mask), pixels(result.image)
    assert mask.shape == photo.shape[:2] == after.shape[:2]
    assert np.array_equal(after[mask == 0], photo[mask == 0])
    assert (after != photo).any(), "nothing was edited"
    assert (mask == 0).any(), "everything was edited"


@pytest.mark.parametrize("inversion", ["direct", "negative_prompt", "null_text"])
def test_the_same_caption_gives_the_photo_back(editor: Editor, inversion: str) -> None:
    photo = picture()
    before = photo.copy()
    result = edit(editor, photo, new=CAPTION, inversion=inversion, max_inner_steps=1)
    assert np.array_equal(pixels(result.image), before)
    assert np.array_equal(photo, before)
    assert any("says what the old one does" in warning for warning in result.warnings)
    assert result.metrics["mask_share"] == 0


def test_words_in_another_order_move_nothing_and_that_is_said(editor: Editor) -> None:
    old, new = "a cat and a rose", "a rose and a cat"
    assert any("in another order" in warning for warning in edit(editor, picture(), old, new).warnings)
    swapped = edit(editor, picture(), "a red rose, a green cat", "a green rose, a red cat")
    assert not any("in another order" in warning for warning in swapped.warnings)
    assert {"red", "green"} <= set(swapped.settings["source_words"])


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


def test_an_edited_region_fades_where_the_photo_goes_on(editor: Editor) -> None:
    result = edit(editor, picture(60, 60), region=(10, 0, 60, 50), local_blend=False, feather=0.2)
    mask = np.asarray(result.mask)
    assert (mask[20, 10:19] < 255).all() and (mask[41:50, 40] < 255).all()
    assert (mask[:40, 25:] == 255).all()


def test_an_editor_keeps_the_last_few_photos(editor: Editor) -> None:
    editor = Editor(editor.backbone)
    trajectories = [
        editor.invert(picture(seed=seed), CAPTION, inversion="direct", steps=1) for seed in range(PHOTOS_KEPT + 1)
    ]
    with pytest.raises(EditRealError, match="photo="):
        editor.edit(trajectories[0], NEW)
    for trajectory in trajectories[1:]:
        editor.edit(trajectory, NEW)


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


def test_outside_the_region_nothing_changes(editor: Editor) -> None:
    photo = picture(80, 70)
    result = edit(editor, photo, region=(10, 20, 58, 68), local_blend=False)
    outside = np.ones((80, 70), bool)
    outside[20:68, 10:58] = False
    assert np.array_equal(pixels(result.image)[outside], photo[outside])
    assert (np.asarray(result.mask)[outside] == 0).all()
    assert (np.asarray(result.mask)[~outside] > 0).all()


@pytest.mark.parametrize("inversion", ["direct", "null_text"])
def test_the_same_call_gives_the_same_bytes(editor: Editor, inversion: str) -> None:
    results = [edit(editor, picture(), inversion=inversion, max_inner_steps=2) for _ in range(2)]
    assert results[0].image.tobytes() == results[1].image.tobytes()
    assert results[0].mask.tobytes() == results[1].mask.tobytes()


def test_edits_in_a_batch_equal_one_by_one(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3)
    captions = [NEW, "a photo of a tulip with a hat", "a photo of a green rose"]
    # Without the local blend, whose threshold a rounding error can cross.
    settings = [EditSettings(cross_replace=share, local_blend=False) for share in (0.0, 0.5, 1.0)]
    together = editor.edit_many(trajectory, captions, settings)
    for caption, one, result in zip(captions, settings, together, strict=True):
        alone = editor.edit(trajectory, caption, one)
        assert np.abs(pixels(alone.image) - pixels(result.image)).max() <= 2
        assert result.settings["new_caption"] == caption
        assert result.settings["cross_replace"] == one.cross_replace


@pytest.mark.parametrize("captions", [[], [NEW, NEW]])
def test_a_batch_needs_settings_for_each(editor: Editor, captions: list[str]) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=2)
    with pytest.raises(EditRealError, match="one settings for each"):
        editor.edit_many(trajectory, captions, [EditSettings()] * 3)


def test_a_saved_trajectory_gives_the_same_bytes(editor: Editor, tmp_path: Path) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="negative_prompt", steps=3)
    fresh = editor.edit(trajectory, NEW)
    trajectory.save(tmp_path / "rose.safetensors")
    loaded = Trajectory.load(tmp_path / "rose.safetensors")
    later = Editor(editor.backbone).edit(loaded, NEW, photo=picture())
    assert later.image.tobytes() == fresh.image.tobytes()
    assert later.mask.tobytes() == fresh.mask.tobytes()


def test_a_trajectory_serves_its_own_photo_and_model_alone(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=2)
    with pytest.raises(EditRealError, match="pixel_hash"):
        editor.edit(trajectory, NEW, photo=picture(seed=1))
    with pytest.raises(EditRealError, match="photo="):
        Editor(editor.backbone).edit(trajectory, NEW)
    levels = dataclasses.replace(editor.backbone.levels, prediction_type="v_prediction")
    other = Editor(dataclasses.replace(editor.backbone, levels=levels))
    with pytest.raises(EditRealError, match="fingerprint"):
        other.edit(trajectory, NEW, photo=picture())


@pytest.mark.parametrize("left", [True, False])
def test_the_excluded_part_is_the_photo(editor: Editor, left: bool) -> None:
    photo, exclude = picture(48, 48), half(48, 48, left=left)
    result = edit(editor, photo, exclude_mask=exclude, local_blend=False)
    assert np.array_equal(pixels(result.image)[exclude], photo[exclude])
    assert (np.asarray(result.mask)[~exclude] > 0).all()


@pytest.mark.parametrize("left", [True, False])
def test_the_included_part_is_in_the_mask(editor: Editor, left: bool) -> None:
    include = half(48, 40, left=left)
    empty = edit(editor, picture(), new=CAPTION)
    result = edit(editor, picture(), new=CAPTION, include_mask=include, refinement="plain")
    mask = np.asarray(result.mask) > 0
    assert not np.asarray(empty.mask).any()
    assert mask[include].all()
    assert mask[~include].mean() < 0.15


def test_exclusion_wins_over_inclusion(editor: Editor) -> None:
    everything = np.ones((48, 40), bool)
    result = edit(editor, picture(), include_mask=everything, exclude_mask=everything)
    assert np.array_equal(pixels(result.image), picture())


def test_a_protected_word_is_not_edited(editor: Editor) -> None:
    assert np.asarray(edit(editor, picture(), blend_words=["rose"]).mask).any()
    result = edit(editor, picture(), blend_words=["rose"], protect_words=["Rose"])
    assert np.array_equal(pixels(result.image), picture())


def test_a_protected_word_is_kept_without_local_blend_too(editor: Editor) -> None:
    free = edit(editor, picture(), local_blend=False)
    assert (np.asarray(free.mask) > 0).all()
    assert not any("raise mask_threshold" in warning for warning in free.warnings)
    assert np.isnan(free.metrics["outside_psnr"])
    mask = np.asarray(edit(editor, picture(), local_blend=False, protect_words=["rose"]).mask) > 0
    rose = np.asarray(edit(editor, picture(), blend_words=["rose"]).mask) > 0
    assert (mask & rose).mean() < 0.1 * rose.mean()
    assert mask[~rose].mean() > 0.8


@pytest.mark.parametrize("name", ["blend_words", "protect_words"])
def test_a_word_that_neither_caption_holds_is_refused(editor: Editor, name: str) -> None:
    with pytest.raises(EditRealError, match="got 'tulip'"):
        edit(editor, picture(), **{name: ["rose", "tulip"]})
    edit(editor, picture(), **{name: ["rose", "cat"]})  # one of each caption


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


def test_a_single_text_is_no_list_of_captions(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=1)
    with pytest.raises(EditRealError, match="as a list of captions"):
        editor.edit_many(trajectory, NEW)


def test_a_mistyped_path_costs_no_model(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("editing.edit.load_backbone", lambda *_: pytest.fail("loaded in vain"))
    with pytest.raises(EditRealError, match="no such file"):
        edit_real("missing.jpg", CAPTION, NEW, model=model_folder)


@pytest.mark.parametrize("batch", [1, 2, None])
def test_a_large_batch_is_split(editor: Editor, monkeypatch: pytest.MonkeyPatch, batch: int | None) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=2)
    if batch is None:
        monkeypatch.setattr("editing.batches.free_memory", lambda _: 3 * 2 * 64 * 16 * 16 * 16 * 4 + 1)
    rows: list[int] = []
    handle = editor.backbone.denoiser.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        results = editor.edit_many(trajectory, [NEW] * 3, batch=batch, local_blend=False)
    finally:
        handle.remove()
    assert [result.settings["new_caption"] for result in results] == [NEW] * 3
    sampled = rows[-6:] if batch != 2 else rows[-4:]
    assert sampled == {1: [3] * 6, 2: [5, 5, 3, 3], None: [3] * 6}[batch]
    with pytest.raises(EditRealError, match="batch of 1"):
        editor.edit_many(trajectory, [NEW], batch=0)


def test_an_edit_after_a_direct_inversion_costs_at_most_160_rows(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=50)
    rows: list[int] = []
    handle = editor.backbone.denoiser.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        editor.edit(trajectory, NEW)
    finally:
        handle.remove()
    assert sum(rows) <= 160


def test_every_latent_is_decoded_once_and_alone(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, max_inner_steps=1, steps=2)
    decoded: list[torch.Tensor] = []
    handle = editor.backbone.vae.decoder.register_forward_pre_hook(lambda _, args: decoded.append(args[0].clone()))
    try:
        editor.edit_many(trajectory, [NEW, "a photo of a green rose"])
    finally:
        handle.remove()
    assert [len(latents) for latents in decoded] == [1] * 4  # photo, guided source, two edits
    assert len({latents.numpy().tobytes() for latents in decoded}) == 4


def test_two_threads_on_one_model_give_what_each_gives_alone(editor: Editor) -> None:
    trajectories = [editor.invert(picture(seed=seed), CAPTION, inversion="direct", steps=4) for seed in (0, 1)]
    captions = [NEW, "a photo of a green rose on a table"]
    alone = [editor.edit(path, text).image.tobytes() for path, text in zip(trajectories, captions, strict=True)]
    before = dict(editor.backbone.denoiser.attn_processors)

    def edit_thrice(index: int) -> list[bytes]:
        path = editor.invert(picture(seed=index), CAPTION, inversion="direct", steps=4)
        return [editor.edit(path, captions[index]).image.tobytes() for _ in range(3)]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(edit_thrice, (0, 1)))
    assert found == [[alone[0]] * 3, [alone[1]] * 3]
    assert all(found is before[name] for name, found in editor.backbone.denoiser.attn_processors.items())


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


def test_an_exception_in_the_middle_leaves_the_model_as_it_was(editor: Editor) -> None:
    unet = editor.backbone.denoiser
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3)
    before, calls = dict(unet.attn_processors), []

    def fail(*_: object) -> None:
        calls.append(type(next(iter(unet.attn_processors.values()))).__name__)
        if len(calls) == 3:
            raise KeyboardInterrupt

    handle = unet.mid_block.register_forward_hook(fail)
    try:
        with pytest.raises(KeyboardInterrupt):
            editor.edit(trajectory, NEW)
    finally:
        handle.remove()
    assert calls[-1] == "ControlledAttention"
    assert all(found is before[name] for name, found in unet.attn_processors.items())
    assert_untouched_outside(editor.edit(trajectory, NEW), picture())


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


def test_a_caption_that_is_too_long_is_cut_with_a_warning(editor: Editor) -> None:
    result = edit(editor, picture(), new=NEW + " with a hat" * 9)
    assert any("longer than" in warning for warning in result.warnings)
    assert not any("longer than" in warning for warning in edit(editor, picture()).warnings)


@pytest.mark.parametrize(
    ("caption", "new"), [(CAPTION, "a photo of a red tulip"), ("a photo of a tulip", "a photo of a rose")]
)
@pytest.mark.parametrize("control", ["replace", "refine"])
def test_words_of_several_tokens(editor: Editor, caption: str, new: str, control: str) -> None:
    result = edit(editor, picture(), caption, new, control=control)
    assert_untouched_outside(result, picture())
    assert caption.split()[-1] in result.heat_maps


@pytest.mark.parametrize("weight", [5.0, 0.0, -3.0])
def test_reweighting_alone_is_an_edit(editor: Editor, weight: float) -> None:
    result = edit(editor, picture(), new=CAPTION, reweight={"rose": weight})
    assert_untouched_outside(result, picture())
    assert result.settings["source_words"] == ["rose"]


@pytest.mark.parametrize(("new", "suits"), [("a photo of a white rose", 1.0), (NEW, 0.0)])
def test_a_colour_keeps_the_texture_and_a_new_thing_does_not(editor: Editor, new: str, suits: float) -> None:
    trajectory = editor.invert(picture(96, 96), CAPTION, inversion="direct", steps=3)
    chosen, *others = (
        pixels(editor.edit(trajectory, new, local_blend=False, texture=texture).image) for texture in (None, 0.0, 1.0)
    )
    same = [np.array_equal(chosen, other) for other in others]
    assert same == [suits == 0.0, suits == 1.0]


def test_every_edit_of_a_batch_has_its_own_cells(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3)
    settings = [EditSettings(cell_share=share, refinement="plain", mask_threshold=0.7) for share in (0.0, 1.0)]
    together = [np.asarray(result.drawn) for result in editor.edit_many(trajectory, [NEW, NEW], settings)]
    alone = [np.asarray(editor.edit(trajectory, NEW, choice).drawn) for choice in settings]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
    assert not np.array_equal(*together)


def test_without_local_blend_the_whole_frame_is_edited(editor: Editor) -> None:
    result = edit(editor, picture(48, 48), local_blend=False)
    assert (np.asarray(result.mask) == 255).all()


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
    sheet = edit(editor, picture()).sheet()
    assert sheet.mode == "RGB"
    assert min(sheet.size) > 200


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


def test_the_warnings_name_words_that_the_model_was_never_shown(editor: Editor) -> None:
    knowing = Editor(dataclasses.replace(editor.backbone, known_words=frozenset(CAPTION.split())))
    assert any("'cat'" in warning and "'rose'" not in warning for warning in edit(knowing, picture()).warnings)


@pytest.mark.parametrize("network", [0, 1, 2], ids=["unet", "vae", "text_encoder"])
def test_an_edit_leaves_the_weights_alone(editor: Editor, network: int) -> None:
    before = {name: weight.clone() for name, weight in editor.backbone.networks[network].state_dict().items()}
    edit(editor, picture(), inversion="null_text", max_inner_steps=1)
    after = editor.backbone.networks[network].state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_progress_is_told_after_every_step(backbone: Backbone) -> None:
    told: list[tuple[int, torch.Size]] = []
    editor = Editor(backbone, progress=lambda step, latents: told.append((step, latents.shape)))
    edit(editor, picture(40, 40))
    assert told == [(step, (1, 4, 16, 16)) for step in (0, 1, 2, 0, 1, 2)]
