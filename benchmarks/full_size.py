"""Models at full size, from their configurations alone: random weights, for memory, time and shapes.

The numbers are those of the published `config.json` files; what they leave out is diffusers' and transformers' default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.configuration_utils import ConfigMixin
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import CLIPTokenizer, T5TokenizerFast

from backbones.backbone import Backbone
from backbones.families import FAMILIES
from backbones.hub import BUNDLED_FOLDER
from backbones.loading import Found
from backbones.loading import build as build_backbone

TEXT_LENGTH, VOCABULARY = 77, 49408


@dataclass(frozen=True)
class Size:
    """The configurations of a model.

    Attributes:
        pipeline: A key of `FAMILIES`.
        configs: Of each part but the tokenizers.
        index: Of the pipeline itself.
    """

    pipeline: str
    configs: dict[str, dict[str, Any]]
    index: dict[str, Any] = field(default_factory=dict)


CLIP_L = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": TEXT_LENGTH,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
}
OPEN_CLIP_H = {
    **CLIP_L,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
}
OPEN_CLIP_G = {
    **CLIP_L,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
UNET = {"block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2}
AUTOENCODER = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
AUTOENCODER_16 = {
    **AUTOENCODER,
    "sample_size": 1024,
    "latent_channels": 16,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
T5_XXL = {
    "d_model": 4096,
    "d_ff": 10240,
    "d_kv": 64,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
    "vocab_size": 32128,
}
MMDIT = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}

SIZES = {
    "Stable Diffusion 1.5": Size(
        "StableDiffusionPipeline",
        {
            "unet": {**UNET, "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
            "vae": {**AUTOENCODER, "sample_size": 512},
            "text_encoder": CLIP_L,
            "scheduler": SCHEDULER,
        },
    ),
    "Stable Diffusion 2.1": Size(
        "StableDiffusionPipeline",
        {
            "unet": {
                **UNET,
                "sample_size": 96,
                "cross_attention_dim": 1024,
                "attention_head_dim": (5, 10, 20, 20),
                "use_linear_projection": True,
            },
            "vae": {**AUTOENCODER, "sample_size": 768},
            "text_encoder": OPEN_CLIP_H,
            "scheduler": {**SCHEDULER, "prediction_type": "v_prediction"},
        },
    ),
    "SDXL base 1.0": Size(
        "StableDiffusionXLPipeline",
        {
            "unet": {
                "block_out_channels": (320, 640, 1280),
                "layers_per_block": 2,
                "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                "transformer_layers_per_block": (1, 2, 10),
                "sample_size": 128,
                "cross_attention_dim": 2048,
                "attention_head_dim": (5, 10, 20),
                "use_linear_projection": True,
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
            },
            "vae": {**AUTOENCODER, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
            "text_encoder": CLIP_L,
            "text_encoder_2": OPEN_CLIP_G,
            "scheduler": SCHEDULER,
        },
        {"force_zeros_for_empty_prompt": True},
    ),
    "DeepFloyd IF-I-XL": Size(
        "IFPipeline",
        {
            "unet": {
                "sample_size": 64,
                "in_channels": 3,
                "out_channels": 6,
                "block_out_channels": (704, 1408, 2112, 2816),
                "layers_per_block": 3,
                "down_block_types": ("ResnetDownsampleBlock2D", *("SimpleCrossAttnDownBlock2D",) * 3),
                "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
                "up_block_types": (*("SimpleCrossAttnUpBlock2D",) * 3, "ResnetUpsampleBlock2D"),
                "cross_attention_dim": 2816,
                "cross_attention_norm": "group_norm",
                "encoder_hid_dim": 4096,
                "encoder_hid_dim_type": "text_proj",
                "addition_embed_type": "text",
                "addition_embed_type_num_heads": 64,
                "attention_head_dim": 64,
                "resnet_time_scale_shift": "scale_shift",
                "act_fn": "gelu",
            },
            "text_encoder": T5_XXL,
            "scheduler": {"beta_schedule": "squaredcos_cap_v2"},
        },
    ),
    "Stable Diffusion 3 medium": Size(
        "StableDiffusion3Pipeline",
        {
            "transformer": {**MMDIT, "pos_embed_max_size": 192},
            "vae": AUTOENCODER_16,
            "text_encoder": CLIP_L,
            "text_encoder_2": OPEN_CLIP_G,
            "text_encoder_3": T5_XXL,
            "scheduler": {"shift": 3.0},
        },
    ),
    "Stable Diffusion 3.5 medium": Size(
        "StableDiffusion3Pipeline",
        {
            "transformer": {
                **MMDIT,
                "pos_embed_max_size": 384,
                "dual_attention_layers": tuple(range(13)),
                "qk_norm": "rms_norm",
            },
            "vae": AUTOENCODER_16,
            "text_encoder": CLIP_L,
            "text_encoder_2": OPEN_CLIP_G,
            "text_encoder_3": T5_XXL,
            "scheduler": {"shift": 3.0},
        },
    ),
}


def build(name: str, dtype: torch.dtype, device: torch.device | str = "cpu", *, seed: int = 0) -> Backbone:
    """A model of `SIZES` with random weights; on the device `meta` it has shapes alone.

    Its words are cut into tokens by the bundled model's tokenizer at CLIP's length, and into letters instead of T5's.
    """
    size, device = SIZES[name], torch.device(device)
    family = FAMILIES[size.pipeline]
    torch.manual_seed(seed)
    parts = {part: _make(kind, size.configs.get(part, {}), dtype, device) for part, kind in family.parts.items()}
    return build_backbone(Found(name, family, parts, size.index), device, dtype)


def _make(kind: Any, config: dict[str, Any], dtype: torch.dtype, device: torch.device) -> Any:
    if issubclass(kind, CLIPTokenizer):
        return kind.from_pretrained(BUNDLED_FOLDER / "tokenizer", model_max_length=TEXT_LENGTH)
    if issubclass(kind, T5TokenizerFast):
        return _letters()
    if not issubclass(kind, nn.Module):
        return kind(**config)
    with device:
        made = kind(**config) if issubclass(kind, ConfigMixin) else kind(kind.config_class(**config))
    if not isinstance(made, AutoencoderKL):
        nn.Module.to(made, dtype)  # diffusers' own says how it should have been loaded
    return made


def _letters() -> T5TokenizerFast:
    """A tokenizer with a token for each letter, in T5's manner."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -1.0) for letter in "▁" + ascii_lowercase)]
    made = Tokenizer(models.Unigram(pieces, unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return T5TokenizerFast(tokenizer_object=made, extra_ids=0, model_max_length=512)
