"""Stable Diffusion 1.x and 2.x (Rombach et al., CVPR 2022): a UNet on latents, with CLIP's text encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from backbones.backbone import Backbone, Configs, Family
from backbones.condition import Condition
from backbones.latents import decode, encode, factor_of
from backbones.levels import read_levels
from backbones.text import Caption
from backbones.unet import activations, check_takes_latents, sites

PARTS = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "tokenizer": CLIPTokenizer,
    "scheduler": DDIMScheduler,
}


def check(configs: Configs) -> None:
    """Refuses what takes more than latents."""
    check_takes_latents(configs["unet"], configs["vae"])


def assemble(parts: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a backbone from a pipeline's parts."""
    unet, vae = parts["unet"], parts["vae"]
    vae_factor = factor_of(vae)
    return {
        "denoiser": unet,
        "vae": vae,
        "text_encoders": (parts["text_encoder"],),
        "tokenizers": (parts["tokenizer"],),
        "levels": read_levels(parts["scheduler"]),
        "latent_channels": int(unet.config.in_channels),
        "vae_factor": vae_factor,
        "image_size": int(unet.config.sample_size) * vae_factor,
        "size_multiple": vae_factor * 2 ** (len(unet.config.block_out_channels) - 1),
    }


@torch.no_grad()
def condition(backbone: Backbone, captions: Sequence[Caption]) -> Condition:
    """The last hidden state of CLIP's text encoder after its final layer norm."""
    input_ids = torch.tensor([caption.input_ids for caption in captions], device=backbone.device)
    return Condition(backbone.text_encoders[0](input_ids).last_hidden_state.float())


def denoise(backbone: Backbone, latents: torch.Tensor, timesteps: torch.Tensor, condition: Condition) -> torch.Tensor:
    """The UNet's output."""
    output: torch.Tensor = backbone.denoiser(latents, timesteps, condition.embeds).sample
    return output


FAMILY = Family(
    title="Stable Diffusion 1.x and 2.x",
    parts=PARTS,
    check=check,
    assemble=assemble,
    condition=condition,
    denoise=denoise,
    sites=sites,
    activations=activations,
    encode=encode,
    decode=decode,
)
