"""DeepFloyd IF, first stage, of Imagen's kind (Saharia et al., NeurIPS 2022): pixels, and T5's text encoder."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import T5EncoderModel, T5TokenizerFast

from backbones.backbone import Backbone, Configs, Family
from backbones.condition import Condition
from backbones.errors import EditRealError
from backbones.levels import read_levels
from backbones.text import Caption, parse_caption
from backbones.unet import activations, sites

PARTS = {
    "unet": UNet2DConditionModel,
    "text_encoder": T5EncoderModel,
    "tokenizer": T5TokenizerFast,
    "scheduler": DDIMScheduler,
}
TEXT_LENGTH = 77  # tokens that the model was trained with; T5 itself takes more


def check(configs: Configs) -> None:
    """Refuses the stages that enlarge, and models whose text and pixels are attended to apart."""
    unet = configs["unet"]
    if unet.get("in_channels") != 3 or unet.get("class_embed_type") is not None:
        raise EditRealError(
            f"expected the first stage of DeepFloyd IF, whose UNet takes 3 channels, got one that takes "
            f"{unet.get('in_channels')} (a stage that enlarges or inpaints); choose the first stage"
        )


def assemble(parts: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a backbone from a pipeline's parts: the latents are the pixels themselves."""
    unet = parts["unet"]
    return {
        "denoiser": unet,
        "vae": None,
        "text_encoders": (parts["text_encoder"],),
        "tokenizers": (parts["tokenizer"],),
        "levels": read_levels(parts["scheduler"]),
        "latent_channels": int(unet.config.in_channels),
        "vae_factor": 1,
        "image_size": int(unet.config.sample_size),
        "size_multiple": 2 ** (len(unet.config.block_out_channels) - 1),
    }


def parse(backbone: Backbone, text: str) -> Caption:
    """A caption on T5's tokens, in lower case as the model was trained."""
    lower = text.lower() if isinstance(text, str) else text
    caption = parse_caption(backbone.tokenizer, lower, limit=_length(backbone))
    return dataclasses.replace(caption, text=unicodedata.normalize("NFC", text))


@torch.no_grad()
def condition(backbone: Backbone, captions: Sequence[Caption]) -> Condition:
    """T5's last hidden state, in which padding takes no part; the UNet pools it itself."""
    input_ids = torch.tensor([caption.input_ids for caption in captions], device=backbone.device)
    mask = (input_ids != backbone.tokenizer.pad_token_id).long()
    return Condition(backbone.text_encoders[0](input_ids, attention_mask=mask).last_hidden_state.float())


def denoise(backbone: Backbone, latents: torch.Tensor, timesteps: torch.Tensor, condition: Condition) -> torch.Tensor:
    """The UNet's noise; the variance that it has learnt beside it has no part in deterministic sampling."""
    output: torch.Tensor = backbone.denoiser(latents, timesteps, condition.embeds).sample
    return output[:, : backbone.latent_channels]


def encode(backbone: Backbone, pixels: torch.Tensor) -> torch.Tensor:
    """The pixels themselves, on the model's device."""
    return pixels.to(backbone.device, torch.float32)


def decode(backbone: Backbone, latents: torch.Tensor) -> torch.Tensor:
    """The pixels themselves, on the CPU."""
    return latents.float().cpu().clamp(-1, 1)


def _length(backbone: Backbone) -> int:
    return min(TEXT_LENGTH, int(backbone.tokenizer.model_max_length))


FAMILY = Family(
    title="DeepFloyd IF, its first stage of 64x64 pixels",
    parts=PARTS,
    check=check,
    assemble=assemble,
    condition=condition,
    denoise=denoise,
    sites=sites,
    activations=activations,
    encode=encode,
    decode=decode,
    parse=parse,
    guidance_scale=7.0,
)
