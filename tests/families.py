"""Small models of every family, of the real classes with random weights, written by diffusers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from tests.conftest import MAX_LENGTH, write_pipeline, write_tokenizer

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def write_stable_diffusion(folder: Path) -> Path:
    return write_pipeline(folder, "epsilon")


def write_sdxl(folder: Path, *, zeros: bool = True) -> Path:
    """SDXL's layout: no attention at the finest level, several layers at the others; 32x32 photos, 16x16 latents."""
    torch.manual_seed(0)
    tokenizer = write_tokenizer(folder / "draft_tokenizer")
    StableDiffusionXLPipeline(
        vae=tiny_vae(4, scaling_factor=0.13025, force_upcast=True),
        text_encoder=CLIPTextModel(clip_config(tokenizer, 16)),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(tokenizer, 24)),
        tokenizer=tokenizer,
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "draft_tokenizer", pad_token="a"),
        unet=UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32, 32),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 1, 2),
            layers_per_block=1,
            cross_attention_dim=16 + 24,
            attention_head_dim=(1, 2, 2),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 12,
            norm_num_groups=4,
        ),
        scheduler=EulerDiscreteScheduler(**BETAS, steps_offset=1, timestep_spacing="leading"),
        force_zeros_for_empty_prompt=zeros,
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def tiny_vae(channels: int, **config: object) -> AutoencoderKL:
    """Two levels: a factor of 2."""
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=32,
        latent_channels=channels,
        **config,
    )


def clip_config(tokenizer: CLIPTokenizer, width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=MAX_LENGTH,
        projection_dim=12,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


WRITERS: dict[str, Callable[[Path], Path]] = {
    "stable_diffusion": write_stable_diffusion,
    "sdxl": write_sdxl,
}
