"""Stable Diffusion 1.x and 2.x (Rombach et al., CVPR 2022): a UNet on latents, with CLIP's text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from transformers import CLIPTextModel, CLIPTokenizer

from backbones.attention import Site
from backbones.backbone import Backbone, Family
from backbones.condition import Condition
from backbones.errors import EditRealError
from backbones.latents import decode, encode
from backbones.levels import read_levels
from backbones.reading import read_json, read_parts
from backbones.text import Caption

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_PLACES = {"down_blocks": (0, "encoder"), "mid_block": (1, "middle"), "up_blocks": (2, "decoder")}


def load(folder: Path, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """The fields of a backbone from a folder in diffusers' layout.

    Raises:
        EditRealError: A part is missing or damaged, or the UNet takes more than latents.
    """
    _check(folder)
    unet, vae, text_encoder, tokenizer, scheduler = read_parts(
        folder,
        {
            "unet": (UNet2DConditionModel, dtype),
            "vae": (AutoencoderKL, torch.float32),
            "text_encoder": (CLIPTextModel, dtype),
            "tokenizer": (CLIPTokenizer, None),
            "scheduler": (DDIMScheduler, None),
        },
    )
    return assemble(unet, vae, text_encoder, tokenizer, scheduler, device)


def assemble(
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    scheduler: DDIMScheduler,
    device: torch.device,
) -> dict[str, Any]:
    """The same of a pipeline's parts; the networks are frozen and moved to `device`."""
    for network in (unet, vae, text_encoder):
        network.requires_grad_(False).eval().to(device)
    for network in (unet, vae):
        network.to(memory_format=torch.channels_last)
    vae_factor = int(2 ** (len(vae.config.block_out_channels) - 1))
    return {
        "denoiser": unet,
        "vae": vae,
        "text_encoders": (text_encoder,),
        "tokenizers": (tokenizer,),
        "levels": read_levels(scheduler),
        "latent_channels": int(unet.config.in_channels),
        "vae_factor": vae_factor,
        "image_size": int(unet.config.sample_size) * vae_factor,
        "size_multiple": vae_factor * 2 ** (len(unet.config.block_out_channels) - 1),
    }


def _check(folder: Path) -> None:
    missing = [f"{part}/" for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise EditRealError(f"expected a diffusers pipeline folder at {folder}, got one without {', '.join(missing)}")
    unet, vae = read_json(folder / "unet" / "config.json"), read_json(folder / "vae" / "config.json")
    if unet.get("in_channels") != vae.get("latent_channels"):
        raise EditRealError(
            f"expected a text-to-image model whose UNet takes {vae.get('latent_channels')} channels, got one that "
            f"takes {unet.get('in_channels')} (an inpainting, depth or instruction model) at {folder}"
        )


@torch.no_grad()
def condition(backbone: Backbone, captions: Sequence[Caption]) -> Condition:
    """The last hidden state of CLIP's text encoder after its final layer norm."""
    input_ids = torch.tensor([caption.input_ids for caption in captions], device=backbone.device)
    return Condition(backbone.text_encoders[0](input_ids).last_hidden_state.float())


def denoise(backbone: Backbone, latents: torch.Tensor, timesteps: torch.Tensor, condition: Condition) -> torch.Tensor:
    output: torch.Tensor = backbone.denoiser(latents, timesteps, condition.embeds).sample
    return output


def sites(backbone: Backbone, height: int, width: int) -> list[Site]:
    """Every attention layer and every residual block of the UNet."""
    unet = backbone.denoiser
    deepest = len(unet.config.block_out_channels) - 1
    found: list[tuple[int, str, str, Any, int]] = []
    for name, module in unet.named_modules():
        block, _, rest = name.partition(".")
        if block not in _PLACES or not isinstance(module, Attention | ResnetBlock2D):
            continue
        rank, part = _PLACES[block]
        index = deepest if part == "middle" else int(rest.split(".")[0])
        halvings = deepest - index if part == "decoder" else index
        kind = "residual" if isinstance(module, ResnetBlock2D) else "cross" if name.endswith("attn2") else "self"
        found.append((rank, name, kind, part, halvings))
    orders = {"cross": 0, "self": 0, "residual": 0}
    ordered = []
    for _, name, kind, part, halvings in sorted(found, key=lambda one: one[0]):
        # A stride-2 convolution with padding 1 rounds up, so does the negated floor division.
        grid = -(-height // 2**halvings), -(-width // 2**halvings)
        ordered.append(Site(name, kind, part, orders[kind], *grid, share=0.5**halvings))  # type: ignore[arg-type]
        orders[kind] += 1
    return ordered


FAMILY = Family(load=load, condition=condition, denoise=denoise, sites=sites, encode=encode, decode=decode)
