"""Stable Diffusion XL (Podell et al., ICLR 2024), the base model: two text encoders, and sizes beside the words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from backbones.backbone import Backbone, Configs
from backbones.condition import Condition
from backbones.errors import EditRealError
from backbones.families import stable_diffusion
from backbones.text import Caption, parse_caption

PARTS = {
    **stable_diffusion.PARTS,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "tokenizer_2": CLIPTokenizer,
}
PENULTIMATE = -2  # of a text encoder's hidden states


def check(configs: Configs) -> None:
    """Refuses what takes more than latents, and the refiner."""
    stable_diffusion.check(configs)
    unet = configs["unet"]
    if unet.get("addition_embed_type") != "text_time":
        raise EditRealError(
            f"expected an SDXL base model, whose UNet is told sizes and a pooled caption, got one that is told "
            f"{unet.get('addition_embed_type') or 'neither'}; choose another model"
        )


def assemble(parts: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a backbone from a pipeline's parts."""
    fields = stable_diffusion.assemble(parts, index)
    fields["text_encoders"] = (parts["text_encoder"], parts["text_encoder_2"])
    fields["tokenizers"] = (parts["tokenizer"], parts["tokenizer_2"])
    return {**fields, "zero_uncond": bool(index.get("force_zeros_for_empty_prompt", True))}


@torch.no_grad()
def condition(backbone: Backbone, captions: Sequence[Caption]) -> Condition:
    """Both encoders' last hidden states but one, side by side `(B, 77, 768 + 1280)`, and the second's pooled embedding.

    Null-text optimisation tunes the two encoders' tokens together. The pooled embedding of the unconditional rows stays
    that of the empty caption. Most SDXL models have zeros for both, as they were trained.
    """
    hidden, pooled = [], None
    for tokenizer, encoder in zip(backbone.tokenizers, backbone.text_encoders, strict=True):
        ids = [parse_caption(tokenizer, caption.text).input_ids for caption in captions]
        output = encoder(torch.tensor(ids, device=backbone.device), output_hidden_states=True)
        hidden.append(output.hidden_states[PENULTIMATE].float())
        pooled = getattr(output, "text_embeds", None)
    assert pooled is not None, "the second encoder has a projection"
    known = torch.ones(len(captions), device=backbone.device)
    if backbone.zero_uncond:
        known = torch.tensor([float(bool(caption.words)) for caption in captions], device=backbone.device)
    return Condition(torch.cat(hidden, -1) * known[:, None, None], pooled.float() * known[:, None])


def denoise(backbone: Backbone, latents: torch.Tensor, timesteps: torch.Tensor, condition: Condition) -> torch.Tensor:
    """The UNet's output, told that the photo has always had the size at which the model sees it, and is not cropped.

    Its time ids are (original height, width, crop's top, left, target height, width) in pixels.
    """
    height, width = (side * backbone.vae_factor for side in latents.shape[-2:])
    ids = torch.tensor([height, width, 0, 0, height, width], device=latents.device, dtype=latents.dtype)
    told = {"text_embeds": condition.pooled, "time_ids": ids.expand(len(latents), -1)}
    output: torch.Tensor = backbone.denoiser(latents, timesteps, condition.embeds, added_cond_kwargs=told).sample
    return output


FAMILY = dataclasses.replace(
    stable_diffusion.FAMILY,
    title="SDXL, its base model",
    parts=PARTS,
    check=check,
    assemble=assemble,
    condition=condition,
    denoise=denoise,
    guidance_scale=5.0,
)
