"""Stable Diffusion at full size, from its configurations alone: random weights, for memory, time and shapes.

The numbers are those of the published `config.json` files; what they leave out is diffusers' and transformers' default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from backbones.backbone import Backbone
from backbones.families.stable_diffusion import FAMILY, assemble
from backbones.loading import BUNDLED_FOLDER, STABLE_DIFFUSION_GUIDANCE

TEXT_LENGTH, VOCABULARY = 77, 49408


@dataclass(frozen=True)
class Size:
    """The configurations of a model of Stable Diffusion.

    Attributes:
        side: Pixels of a side of the photos that it was trained on.
        prediction_type: Of its scheduler.
        unet: What differs from the other sizes, like the next.
        text_encoder: CLIP's.
    """

    side: int
    prediction_type: str
    unet: dict[str, Any]
    text_encoder: dict[str, Any]


SIZES = {
    "Stable Diffusion 1.5": Size(
        side=512,
        prediction_type="epsilon",
        unet={"cross_attention_dim": 768, "attention_head_dim": 8},
        text_encoder={
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "hidden_act": "quick_gelu",
        },
    ),
    "Stable Diffusion 2.1": Size(
        side=768,
        prediction_type="v_prediction",
        unet={"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True},
        text_encoder={
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 23,
            "num_attention_heads": 16,
            "hidden_act": "gelu",
        },
    ),
}

UNET = {"block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2}
AUTOENCODER = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def build(name: str, dtype: torch.dtype, device: torch.device | str = "cpu", *, seed: int = 0) -> Backbone:
    """A model of `SIZES` with random weights; on the device `meta` it has shapes alone.

    Its words are cut into tokens by the bundled model's tokenizer, at CLIP's length.
    """
    size, device = SIZES[name], torch.device(device)
    torch.manual_seed(seed)
    with device:
        unet = UNet2DConditionModel(sample_size=size.side // 8, **UNET, **size.unet)
        vae = AutoencoderKL(sample_size=size.side, **AUTOENCODER)
        text = CLIPTextConfig(vocab_size=VOCABULARY, max_position_embeddings=TEXT_LENGTH, **size.text_encoder)
        text_encoder = CLIPTextModel(text)
    for network in (unet, text_encoder):
        torch.nn.Module.to(network, dtype)  # diffusers' own says how it should have been loaded
    tokenizer = CLIPTokenizer.from_pretrained(BUNDLED_FOLDER / "tokenizer", model_max_length=TEXT_LENGTH)
    scheduler = DDIMScheduler(prediction_type=size.prediction_type, **SCHEDULER)
    return Backbone(
        name=name,
        family=FAMILY,
        **assemble(unet, vae, text_encoder, tokenizer, scheduler, device),
        known_words=None,
        guidance_scale=STABLE_DIFFUSION_GUIDANCE,
    )
