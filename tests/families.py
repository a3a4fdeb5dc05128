"""Small models of every family, of the real classes with random weights, written by diffusers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    IFPipeline,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from tests.conftest import MAX_LENGTH, WHOLE_WORDS, write_pipeline, write_tokenizer

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


def write_deepfloyd(folder: Path) -> Path:
    """IF's first stage: 32x32 pixels, text and pixels in one softmax at 16x16 and 8x8, a variance beside the noise."""
    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    IFPipeline(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer, 16),
        unet=UNet2DConditionModel(
            sample_size=32,
            in_channels=3,
            out_channels=6,
            block_out_channels=(16, 32, 32),
            down_block_types=("ResnetDownsampleBlock2D", *("SimpleCrossAttnDownBlock2D",) * 2),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            up_block_types=(*("SimpleCrossAttnUpBlock2D",) * 2, "ResnetUpsampleBlock2D"),
            layers_per_block=1,
            cross_attention_dim=32,
            cross_attention_norm="group_norm",
            encoder_hid_dim=16,
            encoder_hid_dim_type="text_proj",
            addition_embed_type="text",
            addition_embed_type_num_heads=4,
            attention_head_dim=8,
            norm_num_groups=4,
            resnet_time_scale_shift="scale_shift",
            act_fn="gelu",
        ),
        scheduler=DDPMScheduler(
            beta_schedule="squaredcos_cap_v2", variance_type="learned_range", thresholding=True, sample_max_value=1.5
        ),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def write_sd3(folder: Path, *, t5: bool = True) -> Path:
    """Stable Diffusion 3.5's layout: joint attention, a second one in the first block; 32x32 photos, 16x16 latents."""
    torch.manual_seed(0)
    tokenizer, tokenizer_3 = write_tokenizer(folder / "draft_tokenizer"), t5_tokenizer()
    StableDiffusion3Pipeline(
        vae=tiny_vae(4, scaling_factor=1.5, shift_factor=0.06),
        text_encoder=CLIPTextModelWithProjection(clip_config(tokenizer, 16)),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(tokenizer, 24)),
        text_encoder_3=t5_encoder(tokenizer_3, 48) if t5 else None,
        tokenizer=tokenizer,
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "draft_tokenizer", pad_token="a"),
        tokenizer_3=tokenizer_3 if t5 else None,
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=48,
            caption_projection_dim=16,
            pooled_projection_dim=24,
            pos_embed_max_size=32,
            dual_attention_layers=(0,),
            qk_norm="rms_norm",
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    ).save_pretrained(folder)
    return folder


def t5_tokenizer() -> T5TokenizerFast:
    """`WHOLE_WORDS` are one token each with the space before them; every other word falls into letters."""
    pieces = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -2.0}
    pieces |= {f"▁{word}": -1.0 for word in WHOLE_WORDS} | dict.fromkeys("abcdefghijklmnopqrstuvwxyz,.!'-", -5.0)
    made = Tokenizer(models.Unigram(list(pieces.items()), unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return T5TokenizerFast(tokenizer_object=made, extra_ids=0, model_max_length=20)


def t5_encoder(tokenizer: T5TokenizerFast, width: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(vocab_size=len(tokenizer), d_model=width, d_ff=32, d_kv=8, num_layers=2, num_heads=2)
    )


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
    "deepfloyd": write_deepfloyd,
    "sd3": write_sd3,
}
