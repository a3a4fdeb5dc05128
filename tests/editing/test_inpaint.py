import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from backbones.errors import EditRealError
from backbones.inpainting import load_inpainting
from editing.edit import edit_real
from editing.inpaint import (
    InpaintResult,
    inpaint_pipeline,
    inpaint_real,
    inpaint_telea,
)
from tests.editing.edits import half

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

CAPTION = "a photo of a green rose"
METHODS = ("blended", "telea", "pipeline")


@pytest.fixture(scope="module")
def inpainting_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline of the real classes whose UNet takes nine channels."""
    folder = tmp_path_factory.mktemp("models") / "inpainting"
    torch.manual_seed(1)
    unet = UNet2DConditionModel.from_config(
        {**UNet2DConditionModel.load_config(model_folder / "unet"), "in_channels": 9}
    )
    StableDiffusionInpaintPipeline(
        vae=AutoencoderKL.from_pretrained(model_folder / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(model_folder / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(model_folder / "tokenizer"),
        unet=unet,
        scheduler=DDIMScheduler.from_pretrained(model_folder / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _one_model(model_folder: Path) -> None:
    """One prediction type will do for all."""


@pytest.fixture
def folders(model_folder: Path, inpainting_folder: Path) -> dict[str, Path]:
    """The model that each method takes."""
    return {"blended": model_folder, "telea": model_folder, "pipeline": inpainting_folder}


def picture(height: int = 48, width: int = 40) -> np.ndarray:
    """Noise over a gradient, `(H, W, 3)` uint8."""
    y, x = np.mgrid[:height, :width]
    gradient = np.stack([255 * y / height, 255 * x / width, 128 + 100 * np.sin(x / 9)], -1)
    return (gradient + np.random.default_rng(0).normal(0, 8, gradient.shape)).clip(0, 255).astype(np.uint8)


def hole(height: int = 48, width: int = 40) -> np.ndarray:
    """An off-centre rectangle, `(H, W)` bool."""
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 3 : width - width // 5] = True
    return mask


def inpaint(folders: dict[str, Path], method: str, img: Any = None, mask: Any = None, **options: Any) -> InpaintResult:
    model = folders[method]
    options = {"steps": 3, "device": "cpu", "model": model, **options}
    return inpaint_real(
        picture() if img is None else img, CAPTION, hole() if mask is None else mask, method=method, **options
    )


@pytest.mark.parametrize("method", METHODS)
def test_outside_the_mask_the_bytes_are_the_photos(folders: dict[str, Path], method: str) -> None:
    photo, mask = picture(), hole()
    result = inpaint(folders, method, photo.copy(), mask)
    after, changed = np.asarray(result.image), np.asarray(result.mask) > 0
    assert np.array_equal(after[~mask], photo[~mask])
    assert (after[mask] != photo[mask]).any()
    assert np.array_equal(changed, mask)
    assert result.metrics["mask_share"] == pytest.approx(100 * mask.mean())
    assert result.metrics["change_inside"] > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(90, 31), (33, 120)])
def test_photos_of_any_shape(folders: dict[str, Path], method: str, shape: tuple[int, int]) -> None:
    result = inpaint(folders, method, picture(*shape), hole(*shape))
    assert result.image.size == result.mask.size == (shape[1], shape[0])
    assert np.array_equal(np.asarray(result.image)[~hole(*shape)], picture(*shape)[~hole(*shape)])


@pytest.mark.parametrize("method", ["blended", "pipeline"])
def test_the_seed_decides(folders: dict[str, Path], method: str) -> None:
    first, again, other = (inpaint(folders, method, seed=seed).image.tobytes() for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("method", METHODS)
def test_outside_the_region_nothing_changes(folders: dict[str, Path], method: str) -> None:
    photo, box = picture(80, 70), (10, 20, 58, 68)
    result = inpaint(folders, method, photo, np.ones((80, 70), bool), region=box)
    inside = np.zeros((80, 70), bool)
    inside[20:68, 10:58] = True
    assert np.array_equal(np.asarray(result.mask) > 0, inside)
    assert np.array_equal(np.asarray(result.image)[~inside], photo[~inside])


def test_an_inpainted_region_fades_where_the_photo_goes_on(folders: dict[str, Path]) -> None:
    result = inpaint(folders, "telea", picture(80, 70), np.ones((80, 70), bool), region=(10, 0, 70, 60), feather=0.2)
    mask = np.asarray(result.mask)
    assert (mask[30, 10:21] < 255).all() and (mask[49:60, 40] < 255).all()
    assert (mask[:45, 25:] == 255).all()


def test_telea_is_opencvs() -> None:
    photo, mask = picture(), hole()
    expected = cv2.inpaint(photo, mask.astype(np.uint8) * 255, 3.0, cv2.INPAINT_TELEA)
    assert np.array_equal(inpaint_telea(photo, mask, 3.0), expected)
    whole = inpaint_real(photo, "", mask, method="telea", radius=3.0, feather=0)
    assert np.array_equal(np.asarray(whole.image), expected)


def test_transparency_is_kept(folders: dict[str, Path]) -> None:
    alpha = np.tile(np.arange(40, dtype=np.uint8) * 6, (48, 1))
    result = inpaint(folders, "blended", Image.fromarray(np.dstack([picture(), alpha])))
    assert np.array_equal(np.asarray(result.image)[..., 3], alpha)


def test_the_pipeline_fills_the_crop_at_full_resolution(inpainting_folder: Path) -> None:
    pipeline = load_inpainting(inpainting_folder, "cpu")
    photo, mask, told = picture(96, 96), np.zeros((96, 96), bool), []
    mask[40:56, 40:56] = True
    filled = inpaint_pipeline(
        pipeline,
        Image.fromarray(photo),
        mask,
        CAPTION,
        steps=2,
        guidance_scale=7.5,
        seed=0,
        padding=8,
        callback=lambda step, latents: told.append((step, tuple(latents.shape))),
    )
    assert filled.size == (96, 96)
    assert np.array_equal(np.asarray(filled)[~mask], photo[~mask])
    assert (np.asarray(filled)[mask] != photo[mask]).any()
    assert told == [(0, (1, 4, 16, 16)), (1, (1, 4, 16, 16))]


def test_a_result_is_saved_like_an_edit(folders: dict[str, Path], tmp_path: Path) -> None:
    result = inpaint(folders, "telea")
    result.save(tmp_path / "out.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), np.asarray(result.image))
    with pytest.raises(EditRealError, match="exists already"):
        result.save(tmp_path / "out.png")


def test_words_that_were_cut_are_said(folders: dict[str, Path]) -> None:
    result = inpaint_real(picture(), CAPTION + " with a hat" * 9, hole(), model=folders["blended"], steps=1)
    assert any("longer than" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mask": np.zeros((48, 40), bool)}, "white pixels"),
        ({"mask": np.ones((40, 48), bool)}, "40x48"),
        ({"method": "magic"}, "blended, telea, pipeline"),
        ({"method": "pipeline"}, "takes 4"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
        ({"guidance_scale": 0.5}, "guidance_scale"),
        ({"cross_replace": 0.5}, "got cross_replace"),
        ({"region": (0, 30, 40, 48)}, "in the region"),
    ],
)
def test_bad_input_is_one_sentence(model_folder: Path, options: dict[str, Any], sentence: str) -> None:
    mask = options.pop("mask", hole())
    with pytest.raises(EditRealError, match=sentence) as caught:
        inpaint_real(picture(), CAPTION, mask, **{"model": model_folder, "device": "cpu", **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["no index", "no weights", "pickled weights", "cut weights", "another family"])
def test_a_pipeline_that_cannot_be_loaded_is_one_sentence(inpainting_folder: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(inpainting_folder, folder)
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    if damage == "no index":
        (folder / "model_index.json").unlink()
    elif damage == "no weights":
        weights.unlink()
    elif damage == "pickled weights":
        weights.rename(weights.with_suffix(".bin"))
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        index = json.loads((folder / "model_index.json").read_text())
        index["scheduler"] = ["diffusers", "NoSuchScheduler"]
        (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(EditRealError, match="pipeline") as caught:
        load_inpainting(folder, "cpu")
    assert "\n" not in str(caught.value)


def test_a_pipeline_in_memory_inpaints(inpainting_folder: Path) -> None:
    mask = half(48, 40, left=True)
    pipeline = load_inpainting(inpainting_folder, "cpu")
    options = {"method": "pipeline", "steps": 2, "device": "cpu"}
    from_memory, from_folder = (
        inpaint_real(picture(), CAPTION, mask, model=model, **options) for model in (pipeline, inpainting_folder)
    )
    assert from_memory.image.tobytes() == from_folder.image.tobytes()
    with pytest.raises(EditRealError, match="StableDiffusionInpaintPipeline to inpaint with, got dict"):
        inpaint_real(picture(), CAPTION, mask, model={}, **options)


def test_an_inpainting_model_does_not_edit(inpainting_folder: Path) -> None:
    with pytest.raises(EditRealError, match="inpainting"):
        edit_real(picture(), CAPTION, CAPTION, model=inpainting_folder)
