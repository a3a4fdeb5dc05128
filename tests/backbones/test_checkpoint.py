"""Single files in the layout of the model's authors."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import save_file

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_PLACES = {  # of the tiny UNet: one layer a block, attention at the finer of two levels
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.1.conv",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.attentions.0": "output_blocks.2.1",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "up_blocks.1.attentions.1": "output_blocks.3.1",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_NAMES = (
    (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.0\.resnets\.(\d)", r"up.1.block.\1"),
    (r"up_blocks\.1\.resnets\.(\d)", r"up.0.block.\1"),
    (r"up_blocks\.0\.upsamplers\.0", r"up.1.upsample"),
    (r"mid_block\.resnets\.0", r"mid.block_1"),
    (r"mid_block\.resnets\.1", r"mid.block_2"),
    (r"mid_block\.attentions\.0", r"mid.attn_1"),
    (r"attn_1\.group_norm", r"attn_1.norm"),
    (r"attn_1\.to_([qkv])", r"attn_1.\1"),
    (r"attn_1\.to_out\.0", r"attn_1.proj_out"),
    (r"conv_shortcut", r"nin_shortcut"),
    (r"conv_norm_out", r"norm_out"),
)


def write_checkpoint(model_folder: Path, path: Path) -> Path:
    """The weights of the tiny pipeline in one file, under the names that their authors gave them."""
    pipeline = StableDiffusionPipeline.from_pretrained(model_folder, safety_checker=None, requires_safety_checker=False)
    weights = {f"model.diffusion_model.{_of_unet(name)}": value for name, value in pipeline.unet.state_dict().items()}
    weights |= {f"first_stage_model.{name}": value for name, value in _of_vae(pipeline.vae).items()}
    for name, value in pipeline.text_encoder.state_dict().items():
        whole = name if name.startswith("text_model.") else f"text_model.{name}"
        weights[f"cond_stage_model.transformer.{whole}"] = value
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    return path


def _of_unet(name: str) -> str:
    place = next(place for place in sorted(UNET_PLACES, key=len, reverse=True) if name.startswith(f"{place}."))
    rest = name.removeprefix(f"{place}.")
    if "resnets" in place:
        part, _, kind = rest.partition(".")
        rest = f"{RESIDUAL[part]}.{kind}"
    return f"{UNET_PLACES[place]}.{rest}"


def _of_vae(vae: AutoencoderKL) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, value in vae.state_dict().items():
        attends = "attentions" in name and "group_norm" not in name and name.endswith("weight")
        for pattern, new in VAE_NAMES:
            name = re.sub(pattern, new, name)
        renamed[name] = value[..., None, None] if attends else value  # a convolution there
    return renamed


@pytest.fixture
def checkpoint(model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model in one file."""
    return write_checkpoint(model_folder, tmp_path / "tiny.safetensors")


def configs_of(model_folder: Path, folder: Path) -> Path:
    """The folder without its weights."""
    shutil.copytree(model_folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


@pytest.mark.parametrize("where", ["given", "beside"])
def test_a_single_file_is_the_same_model(
    checkpoint: Path, model_folder: Path, backbone: Backbone, tmp_path: Path, where: str
) -> None:
    configs = configs_of(model_folder, tmp_path / ("elsewhere" if where == "given" else "tiny"))
    loaded = load_backbone(checkpoint, "cpu", config=configs if where == "given" else None)
    assert loaded.fingerprint == backbone.fingerprint
    assert loaded.name == str(checkpoint)
    embeds, ours = (one.condition(["a red rose"]).embeds for one in (loaded, backbone))
    assert torch.equal(embeds, ours)


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(EditRealError) as caught:
        load_backbone(path, "cpu", **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_configuration_one_sentence_says_what_to_do(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert "stable-diffusion-v1-5/stable-diffusion-v1-5" in refusal(checkpoint)
    assert "config=" in refusal(checkpoint)
    assert "someone/else" in refusal(checkpoint, config="someone/else")


def test_what_is_no_such_file_is_refused(checkpoint: Path, model_folder: Path, tmp_path: Path) -> None:
    configs = configs_of(model_folder, tmp_path / "configs")
    assert "got none" in refusal(tmp_path / "missing.safetensors")
    (tmp_path / "garbage.safetensors").write_bytes(b"garbage" * 40)
    assert "garbage.safetensors" in refusal(tmp_path / "garbage.safetensors", config=configs)
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert "fits the configuration" in refusal(tmp_path / "other.safetensors", config=configs)
    assert "expected no config" in refusal(model_folder, config=configs)
