"""DeepFloyd IF and Stable Diffusion 3 are told and asked what diffusers' own pipelines tell and ask them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import IFPipeline, StableDiffusion3Pipeline

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.levels import Level, from_nearby, of_flow
from backbones.loading import load_backbone
from editing.align import align_captions
from editing.editor import Editor
from inversion.schedule import make_schedule
from inversion.steps import ddim_step
from tests.editing.edits import assert_untouched_outside, edit, picture
from tests.families import write_deepfloyd, write_sd3

CAPTION = "a photo of a Red tulip, on a table"


@pytest.fixture(scope="module")
def deepfloyd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small first stage of IF on disk."""
    return write_deepfloyd(tmp_path_factory.mktemp("models") / "deepfloyd")


@pytest.fixture(scope="module")
def deepfloyd(deepfloyd_folder: Path) -> Backbone:
    """The same, loaded."""
    return load_backbone(deepfloyd_folder, "cpu")


@pytest.fixture(scope="module")
def sd3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Stable Diffusion 3 on disk."""
    return write_sd3(tmp_path_factory.mktemp("models") / "sd3")


@pytest.fixture(scope="module")
def sd3(sd3_folder: Path) -> Backbone:
    """The same, loaded."""
    return load_backbone(sd3_folder, "cpu")


def test_t5_is_told_what_diffusers_tells_it(deepfloyd: Backbone, deepfloyd_folder: Path) -> None:
    pipeline = IFPipeline.from_pretrained(deepfloyd_folder, safety_checker=None, requires_safety_checker=False)
    ids = pipeline.tokenizer(CAPTION.lower(), padding="max_length", max_length=20, truncation=True)
    caption = deepfloyd.parse(CAPTION)
    assert list(caption.input_ids) == ids["input_ids"] and caption.text == CAPTION
    assert caption.find("red")[0].positions == (4,), "no token stands before the words"
    tulip = [caption.input_ids[position] for position in caption.find("tulip")[0].positions]
    assert "".join(pipeline.tokenizer.convert_ids_to_tokens(tulip)) == "▁tulip"
    with torch.no_grad():
        theirs = pipeline.text_encoder(
            torch.tensor([ids["input_ids"]]), attention_mask=torch.tensor([ids["attention_mask"]])
        )[0]
    torch.testing.assert_close(deepfloyd.condition([CAPTION]).embeds, theirs)


def test_a_captions_text_is_as_typed_in_composed_form(deepfloyd: Backbone) -> None:
    caption = deepfloyd.parse("A Cafe\u0301")
    assert caption.text == "A Caf\u00e9"
    assert [word.text for word in caption.words] == ["a", "caf\u00e9"]


def test_the_pixels_are_the_latents_and_the_variance_is_left_out(deepfloyd: Backbone) -> None:
    pixels = torch.rand(1, 3, 32, 24) * 2 - 1
    assert torch.equal(deepfloyd.encode(pixels), pixels) and torch.equal(deepfloyd.decode(pixels), pixels)
    condition = deepfloyd.condition([CAPTION])
    with torch.no_grad():
        whole = deepfloyd.denoiser(pixels, 300, condition.embeds).sample
        ours = deepfloyd.denoise(pixels, 300, condition)
    assert whole.shape[1] == 6
    torch.testing.assert_close(ours, whole[:, :3])


def test_a_stage_that_enlarges_is_refused(deepfloyd_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(deepfloyd_folder, tmp_path / "second"))
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"in_channels": 6}))
    with pytest.raises(EditRealError, match="first stage"):
        load_backbone(folder, "cpu")


def test_three_encoders_say_what_they_say_in_diffusers(sd3: Backbone, sd3_folder: Path) -> None:
    pipeline = StableDiffusion3Pipeline.from_pretrained(sd3_folder)
    embeds, uncond, pooled, uncond_pooled = pipeline.encode_prompt(
        CAPTION, CAPTION, CAPTION, device="cpu", max_sequence_length=20
    )
    ours, empty = sd3.condition([CAPTION]), sd3.condition([""])
    for mine, theirs in (
        (ours.embeds, embeds),
        (ours.pooled, pooled),
        (empty.embeds, uncond),
        (empty.pooled, uncond_pooled),
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    assert sd3.parse(CAPTION).length == ours.embeds.shape[1]


def test_words_lie_on_clips_and_on_t5s_tokens(sd3: Backbone) -> None:
    old, new = sd3.parse("a photo of a red rose"), sd3.parse("a photo of a red tulip")
    assert old.find("rose")[0].positions == (6, 24 + 5)
    alignment = align_captions(old, new)
    carry = alignment.carry_matrix()
    assert carry.shape == (24 + 20, 24 + 20)
    torch.testing.assert_close(carry.sum(1), torch.ones(44))
    assert not carry[:24, 24:].any() and not carry[24:, :24].any(), "each tokenizer's words answer to its own"
    assert carry[29, list(new.sequences[1].of(new.find("tulip")[0]))].sum() == 1


def test_a_model_without_t5_edits_too(tmp_path: Path) -> None:
    backbone = load_backbone(write_sd3(tmp_path / "model", t5=False), "cpu")
    condition = backbone.condition(["a photo of a red rose"])
    assert condition.embeds.shape[1] == backbone.parse("a photo").length == 24 + 256
    assert not condition.embeds[:, 24:].any()
    assert_untouched_outside(edit(Editor(backbone), picture()), picture())


def test_the_flow_is_asked_at_its_own_timesteps(sd3: Backbone, sd3_folder: Path) -> None:
    pipeline = StableDiffusion3Pipeline.from_pretrained(sd3_folder)
    schedule = make_schedule(sd3, 10)
    assert schedule.levels[0] == (0.0, 1.0) and schedule.levels[-1] == (1.0, 0.0)
    trained = pipeline.scheduler.sigmas.flip(0)  # at every training timestep
    torch.testing.assert_close(sd3.levels.noise.float(), trained)
    latents = torch.randn(2, 4, 16, 12, generator=torch.Generator().manual_seed(0))
    condition, timestep = sd3.condition([CAPTION]).expand(2), schedule.timesteps[3]
    with torch.no_grad():
        theirs = pipeline.transformer(
            hidden_states=latents,
            timestep=trained[timestep].expand(2) * 1000,
            encoder_hidden_states=condition.embeds,
            pooled_projections=condition.pooled,
        ).sample
        ours = sd3.predict(latents, timestep, condition)
    torch.testing.assert_close(ours.noise - ours.x0, theirs, rtol=1e-4, atol=1e-5)
    here, there = sd3.levels.at(timestep), schedule.levels[4]
    euler = latents + (float(there.noise) - float(here.noise)) * theirs
    torch.testing.assert_close(ddim_step(ours, there), euler, rtol=1e-4, atol=1e-5)


def test_a_velocity_says_something_where_all_is_noise() -> None:
    velocity, latents = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    prediction = of_flow(velocity, latents, Level(0.0, 1.0), Level(0.0, 1.0))
    carried = from_nearby(prediction, latents, Level(0.25, 0.75), "flow")
    torch.testing.assert_close(ddim_step(carried, Level(0.0, 1.0)), latents + 0.25 * velocity)


def test_the_autoencoders_shift_is_taken_off_and_put_back(sd3: Backbone) -> None:
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        mean = sd3.vae.encode(pixels).latent_dist.mean
        drawn = sd3.vae.decode(mean).sample.clamp(-1, 1)
    torch.testing.assert_close(sd3.encode(pixels), (mean - 0.06) * 1.5)
    torch.testing.assert_close(sd3.decode(sd3.encode(pixels)), drawn, rtol=1e-4, atol=1e-5)
