"""Stable Diffusion 3 and 3.5 (Esser et al., ICML 2024): a rectified flow, and one softmax over text and pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from backbones.attention import Site
from backbones.backbone import Backbone, Configs, Family
from backbones.condition import Condition
from backbones.errors import EditRealError
from backbones.latents import decode, encode, factor_of
from backbones.levels import read_flow_levels
from backbones.text import Caption, Tokens, join_captions, parse_caption

PARTS = {
    "transformer": SD3Transformer2DModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModelWithProjection,
    "text_encoder_2": CLIPTextModelWithProjection,
    "text_encoder_3": T5EncoderModel,
    "tokenizer": CLIPTokenizer,
    "tokenizer_2": CLIPTokenizer,
    "tokenizer_3": T5TokenizerFast,
    "scheduler": FlowMatchEulerDiscreteScheduler,
}
PENULTIMATE = -2  # of CLIP's hidden states
T5_LENGTH = 256  # tokens of T5's, behind those of CLIP
WIDTHS_AT_ONCE = 24  # activations that a block holds while it runs, in multiples of its width


def check(configs: Configs) -> None:
    """Refuses what takes more than latents."""
    wanted, given = configs["transformer"].get("in_channels"), configs["vae"].get("latent_channels")
    if wanted != given:
        raise EditRealError(
            f"expected a text-to-image model whose transformer takes {given} channels, got one that takes {wanted}; "
            "choose the text-to-image model that it was made from"
        )


def assemble(parts: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a backbone from a pipeline's parts; T5's may be missing."""
    transformer, vae = parts["transformer"], parts["vae"]
    names = ("", "_2", "_3")
    vae_factor = factor_of(vae)
    return {
        "denoiser": transformer,
        "vae": vae,
        "text_encoders": tuple(parts[f"text_encoder{end}"] for end in names if f"text_encoder{end}" in parts),
        "tokenizers": tuple(parts[f"tokenizer{end}"] for end in names if f"text_encoder{end}" in parts),
        "levels": read_flow_levels(parts["scheduler"]),
        "latent_channels": int(transformer.config.in_channels),
        "vae_factor": vae_factor,
        "image_size": int(transformer.config.sample_size) * vae_factor,
        "size_multiple": vae_factor * int(transformer.config.patch_size),
    }


def parse(backbone: Backbone, text: str) -> Caption:
    """A caption on CLIP's tokens, and behind them on T5's; without T5 no word has a place among the tokens there."""
    first = parse_caption(backbone.tokenizer, text)
    if len(backbone.tokenizers) < 3:
        empty = Tokens((0,) * T5_LENGTH, first.length, first.length, first.length)
        return dataclasses.replace(first, sequences=(*first.sequences, empty))
    return join_captions(
        [first, parse_caption(backbone.tokenizers[2], text, first=first.length, limit=_t5_length(backbone))]
    )


@torch.no_grad()
def condition(backbone: Backbone, captions: Sequence[Caption]) -> Condition:
    """Both CLIPs' tokens side by side, as wide as T5's, then T5's `(B, 77 + 256, 4096)`; and both CLIPs' pooled ones.

    Without T5 zeros stand for its tokens, as they did for a part of the training. Null-text optimisation tunes all
    tokens; the pooled embedding of the unconditional rows stays that of the empty caption.
    """
    hidden, pooled = [], []
    for tokenizer, encoder in list(zip(backbone.tokenizers, backbone.text_encoders, strict=True))[:2]:
        ids = [parse_caption(tokenizer, caption.text).input_ids for caption in captions]
        output = encoder(torch.tensor(ids, device=backbone.device), output_hidden_states=True)
        hidden.append(output.hidden_states[PENULTIMATE].float())
        pooled.append(output.text_embeds.float())
    width = int(backbone.denoiser.config.joint_attention_dim)
    clip = torch.cat(hidden, -1)
    clip = F.pad(clip, (0, width - clip.shape[-1]))
    return Condition(torch.cat([clip, _of_t5(backbone, captions, width)], 1), torch.cat(pooled, -1))


def denoise(backbone: Backbone, latents: torch.Tensor, timesteps: torch.Tensor, condition: Condition) -> torch.Tensor:
    """The transformer's velocity; its own timesteps are the noise level times 1000."""
    noise = backbone.levels.noise.to(latents.device, torch.float32)[timesteps]
    output: torch.Tensor = backbone.denoiser(
        hidden_states=latents,
        timestep=noise * len(backbone.levels),
        encoder_hidden_states=condition.embeds,
        pooled_projections=condition.pooled,
    ).sample
    return output


def sites(backbone: Backbone, height: int, width: int) -> list[Site]:
    """Every block's attention of patches to text and patches, and the second one to patches alone that some have."""
    patch = int(backbone.denoiser.config.patch_size)
    grid = (height // patch, width // patch)
    found = []
    for index, block in enumerate(backbone.denoiser.transformer_blocks):
        name = f"transformer_blocks.{index}"
        found.append(Site(f"{name}.attn", "joint", "middle", index, *grid, share=1 / patch))
        if block.attn2 is not None:
            order = sum(site.kind == "self" for site in found)
            found.append(Site(f"{name}.attn2", "self", "middle", order, *grid, share=1 / patch))
    return found


def activations(backbone: Backbone, height: int, width: int) -> int:
    """An estimate of the numbers that one row of a batch holds at once while a block runs."""
    patches = height * width // int(backbone.denoiser.config.patch_size) ** 2
    return WIDTHS_AT_ONCE * int(backbone.denoiser.inner_dim) * (patches + T5_LENGTH)


def _of_t5(backbone: Backbone, captions: Sequence[Caption], width: int) -> torch.Tensor:
    if len(backbone.text_encoders) < 3:
        return torch.zeros(len(captions), T5_LENGTH, width, device=backbone.device)
    ids = [caption.sequences[1].input_ids for caption in captions]
    output = backbone.text_encoders[2](torch.tensor(ids, device=backbone.device))
    return output.last_hidden_state.float()  # type: ignore[no-any-return]


def _t5_length(backbone: Backbone) -> int:
    return min(T5_LENGTH, int(backbone.tokenizers[2].model_max_length))


FAMILY = Family(
    title="Stable Diffusion 3 and 3.5",
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
    optional=frozenset(("text_encoder_3", "tokenizer_3")),
)
