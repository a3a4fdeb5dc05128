"""Pipelines that are in memory already, with what people put into them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import cpu_offload
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from safetensors.torch import save_file

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from editing.editor import Editor
from tests.editing.edits import CAPTION, NEW, assert_untouched_outside, edit, picture

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)


@pytest.fixture
def pipeline(model_folder: Path) -> StableDiffusionPipeline:
    """The tiny pipeline, as diffusers loads it."""
    return StableDiffusionPipeline.from_pretrained(model_folder, safety_checker=None, requires_safety_checker=False)


def put_lora_on(pipeline: StableDiffusionPipeline) -> None:
    """A LoRA on the attention of the UNet that changes what it draws."""
    torch.manual_seed(1)
    pipeline.unet.add_adapter(
        LoraConfig(r=2, lora_alpha=8, target_modules=["to_q", "to_v", "conv2"], init_lora_weights=False), "style"
    )


def denoised(backbone: Backbone) -> torch.Tensor:
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return backbone.denoise(latents, 500, backbone.condition([CAPTION]))


def test_a_pipelines_networks_are_used_and_not_copied(pipeline: StableDiffusionPipeline, backbone: Backbone) -> None:
    loaded = load_backbone(pipeline)
    assert loaded.networks == (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    assert loaded.name == backbone.name, "where it was loaded from"
    assert loaded.fingerprint == backbone.fingerprint
    assert torch.equal(denoised(loaded), denoised(backbone))


def test_a_lora_takes_part_in_an_edit(pipeline: StableDiffusionPipeline, backbone: Backbone) -> None:
    put_lora_on(pipeline)
    loaded = load_backbone(pipeline)
    assert not torch.allclose(denoised(loaded), denoised(backbone), atol=1e-3)
    for control in ("replace", "plug_and_play"):
        assert_untouched_outside(edit(Editor(loaded), picture(), control=control), picture())
    pipeline.unet.disable_adapters()
    torch.testing.assert_close(denoised(loaded), denoised(backbone))


@pytest.mark.parametrize("change", ["weights", "scale", "off", "fused", "another"])
def test_a_lora_that_changes_after_the_inversion_is_noticed(pipeline: StableDiffusionPipeline, change: str) -> None:
    put_lora_on(pipeline)
    editor = Editor(load_backbone(pipeline))
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=2)
    editor.edit(trajectory, NEW, refinement="plain")
    if change == "weights":
        name = next(name for name, _ in pipeline.unet.named_parameters() if "lora_B" in name)
        pipeline.unet.get_parameter(name).add_(0.01)
    elif change == "scale":
        pipeline.unet.set_adapters(["style"], [0.5])
    elif change == "off":
        pipeline.unet.disable_adapters()
    elif change == "fused":
        pipeline.unet.fuse_lora()
    else:
        pipeline.unet.add_adapter(LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False), "other")
    with pytest.raises(EditRealError, match="of another model, or other weights") as caught:
        editor.edit(trajectory, NEW)
    assert "\n" not in str(caught.value) and "invert the photo again" in str(caught.value)


def test_a_token_of_textual_inversion_is_a_word(
    pipeline: StableDiffusionPipeline, backbone: Backbone, tmp_path: Path
) -> None:
    save_file({"<my-rose>": torch.randn(2, 16)}, tmp_path / "learned.safetensors")
    pipeline.load_textual_inversion(str(tmp_path / "learned.safetensors"))
    loaded = load_backbone(pipeline)
    caption = loaded.parse("a photo of a <my-rose>, red")
    assert [word.text for word in caption.words] == ["a", "photo", "of", "a", "<my-rose>", ",", "red"]
    assert len(caption.find("<my-rose>")[0].positions) == 2, "one for each of its vectors"
    text = pipeline.maybe_convert_prompt("a photo of a <my-rose>, red", pipeline.tokenizer)
    assert list(caption.input_ids) == pipeline.tokenizer(text, padding="max_length")["input_ids"]
    result = edit(Editor(loaded), picture(), "a photo of a red rose", "a photo of a red <my-rose>")
    assert "<my-rose>" in result.settings["target_words"]


def test_a_pipeline_keeps_its_own_autoencoder(pipeline: StableDiffusionPipeline) -> None:
    pipeline.to(dtype=torch.bfloat16)
    loaded = load_backbone(pipeline)
    assert loaded.dtype == torch.bfloat16 and loaded.vae.dtype == torch.float32
    assert pipeline.vae.dtype == torch.bfloat16
    assert_untouched_outside(edit(Editor(loaded), picture()), picture())


def test_what_is_no_whole_pipeline_is_refused(pipeline: StableDiffusionPipeline) -> None:
    with pytest.raises(EditRealError, match="a pipeline of diffusers, got Linear"):
        load_backbone(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    cpu_offload(pipeline.unet, execution_device=torch.device("cpu"))
    with pytest.raises(EditRealError, match="remove_all_hooks"):
        load_backbone(pipeline)
    pipeline.vae = None
    with pytest.raises(EditRealError, match="without vae"):
        load_backbone(pipeline)
