"""SDXL's conditions are those of diffusers' own pipeline, and what is no base model is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from tests.families import write_sdxl

CAPTION = "a photo of a red tulip"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SDXL on disk."""
    return write_sdxl(tmp_path_factory.mktemp("models") / "sdxl")


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> StableDiffusionXLPipeline:
    """The same, as diffusers has it."""
    return StableDiffusionXLPipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    """The same, as we have it."""
    return load_backbone(folder, "cpu")


def test_both_encoders_say_what_they_say_in_diffusers(backbone: Backbone, pipeline: StableDiffusionXLPipeline) -> None:
    embeds, uncond, pooled, uncond_pooled = pipeline.encode_prompt(CAPTION, device="cpu")
    ours, empty = backbone.condition([CAPTION]), backbone.condition([""])
    assert ours.embeds.shape == (1, 24, 16 + 24)
    for mine, theirs in ((ours.embeds, embeds), (ours.pooled, pooled), (empty.embeds, uncond)):
        torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(empty.pooled, uncond_pooled)
    assert not empty.embeds.any() and not empty.pooled.any()  # type: ignore[union-attr]
    assert not torch.equal(*(torch.tensor(t(CAPTION, padding="max_length")["input_ids"]) for t in backbone.tokenizers))


def test_a_model_that_knows_the_empty_caption_is_told_it(tmp_path: Path) -> None:
    backbone = load_backbone(write_sdxl(tmp_path / "sdxl", zeros=False), "cpu")
    assert backbone.condition([""]).embeds.any()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20)])
def test_the_sizes_are_told_as_in_diffusers(
    backbone: Backbone, pipeline: StableDiffusionXLPipeline, height: int, width: int
) -> None:
    latents = torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(0))
    embeds, _, pooled, _ = pipeline.encode_prompt(CAPTION, device="cpu")
    size = (2 * height, 2 * width)
    ids = pipeline._get_add_time_ids(size, (0, 0), size, torch.float32, text_encoder_projection_dim=12)
    with torch.no_grad():
        theirs = pipeline.unet(
            latents,
            300,
            embeds.expand(2, -1, -1),
            added_cond_kwargs={"text_embeds": pooled.expand(2, -1), "time_ids": ids.expand(2, -1)},
        ).sample
        ours = backbone.denoise(latents, 300, backbone.condition([CAPTION]).expand(2))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_sites_lie_where_the_model_attends(backbone: Backbone) -> None:
    sites = backbone.sites(16, 16)
    assert {site.share for site in sites if site.kind == "cross"} == {0.5, 0.25}, "none at the finest level"
    deepest = [site for site in sites if site.kind == "cross" and site.part == "middle"]
    assert len(deepest) == 2, "a middle block has several layers"


def refusal(folder: Path) -> str:
    with pytest.raises(EditRealError) as caught:
        load_backbone(folder, "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_refiner_is_refused(folder: Path, tmp_path: Path) -> None:
    refiner = Path(shutil.copytree(folder, tmp_path / "refiner"))
    index = json.loads((refiner / "model_index.json").read_text())
    (refiner / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionXLImg2ImgPipeline"}))
    assert "SDXL's refiner" in refusal(refiner)


@pytest.mark.parametrize(
    ("part", "changes", "sentence"),
    [
        ("unet", {"in_channels": 9}, "takes 9"),
        ("unet", {"addition_embed_type": None}, "told sizes"),
        ("unet", {"encoder_hid_dim_type": "ip_image_proj"}, "unload_ip_adapter"),
    ],
)
def test_a_model_that_wants_more_is_refused(
    folder: Path, tmp_path: Path, part: str, changes: dict[str, object], sentence: str
) -> None:
    changed = Path(shutil.copytree(folder, tmp_path / "changed"))
    path = changed / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert sentence in refusal(changed)


def test_levels_of_another_kind_are_refused(folder: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(folder, tmp_path / "edm"))
    path = changed / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": "EDMDPMSolverMultistepScheduler"}))
    assert "EDMDPMSolverMultistepScheduler" in refusal(changed)
