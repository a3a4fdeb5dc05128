"""`load_backbone`: the bundled model, a folder or a hub id, as a `Backbone`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import CLIPTextModel, CLIPTokenizer

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.reading import UNREADABLE, read_json, reason_of

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
STABLE_DIFFUSION_GUIDANCE = 7.5
_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


def load_backbone(
    model: str | Path = "bundled", device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Backbone:
    """Load a Stable Diffusion 1.x or 2.x model, in safetensors, with its weights frozen.

    Args:
        model: `bundled`, a folder in diffusers' layout, or the id of a model on the Hugging Face hub.
        device: CUDA where there is one, else Apple's MPS, else the CPU.
        dtype: Of the UNet and text encoder. On CUDA bfloat16 where the card has it and float16 elsewhere; float32
            on the other devices.

    Raises:
        EditRealError: The model cannot be found, reached or read, or is of a family that is not supported.

    Example:
        >>> backbone = load_backbone("bundled", device="cpu")
        >>> backbone.image_size
        64
    """
    folder = find_folder(str(model))
    check_family(folder)
    device = find_device(device)
    dtype = dtype or default_dtype(device)
    try:
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", use_safetensors=True)
        vae = AutoencoderKL.from_pretrained(folder / "vae", use_safetensors=True)
        text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", use_safetensors=True)
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    except UNREADABLE as error:
        raise EditRealError(
            f"expected a readable diffusers model in safetensors at {folder}, got: {reason_of(error)}"
        ) from error
    for network, network_dtype in ((unet, dtype), (vae, torch.float32), (text_encoder, dtype)):
        network.requires_grad_(False).eval().to(device)
        if network.dtype != network_dtype:
            network.to(network_dtype)
    for network in (unet, vae):
        network.to(memory_format=torch.channels_last)
    return Backbone(
        name=str(model),
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        **schedule_values(scheduler),
        **own_values(folder),
    )


def find_folder(model: str) -> Path:
    """The folder that holds the model, downloading it from the hub where it is no folder here."""
    folder = BUNDLED_FOLDER if model == "bundled" else Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model == "bundled":
        raise EditRealError(f"expected the bundled model at {folder}, got no such folder; reinstall edit-real")
    try:
        files = [f"{part}/*{end}" for part in _PARTS for end in (".json", ".txt", ".safetensors")]
        variants = ["*.fp16.*", "*.non_ema.*", "*.ema.*"]
        return Path(snapshot_download(model, allow_patterns=["model_index.json", *files], ignore_patterns=variants))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise EditRealError(
            f"expected 'bundled', a folder or a reachable model on the Hugging Face hub, got {model!r}, which is no "
            "folder here and could not be downloaded; check the name and the network"
        ) from error


def check_family(folder: Path) -> None:
    """Refuses what is no Stable Diffusion 1.x or 2.x text-to-image model, with the reason."""
    index = folder / "model_index.json"
    missing = [part for part in _PARTS if not (folder / part).is_dir()]
    if not index.is_file() or missing:
        lacking = ", ".join(([] if index.is_file() else ["model_index.json"]) + [f"{part}/" for part in missing])
        raise EditRealError(f"expected a diffusers pipeline folder at {folder}, got one without {lacking}")
    content = read_json(index)
    if "text_encoder_2" in content or "transformer" in content:
        family = content.get("_class_name", "another family")
        raise EditRealError(f"expected a Stable Diffusion 1.x or 2.x model, got {family} at {folder}")
    unet, vae = read_json(folder / "unet" / "config.json"), read_json(folder / "vae" / "config.json")
    if unet.get("in_channels") != vae.get("latent_channels"):
        raise EditRealError(
            f"expected a text-to-image model whose UNet takes {vae.get('latent_channels')} channels, got one that "
            f"takes {unet.get('in_channels')} (an inpainting or depth model) at {folder}"
        )


def schedule_values(scheduler: DDIMScheduler) -> dict[str, Any]:
    """The values of a scheduler's configuration that our own schedule arithmetic needs."""
    config = scheduler.config
    if config.prediction_type not in ("epsilon", "v_prediction"):
        raise EditRealError(f"expected a model that predicts epsilon or v, got {config.prediction_type!r}")
    if config.timestep_spacing not in ("leading", "trailing"):
        raise EditRealError(f"expected leading or trailing timesteps, got {config.timestep_spacing!r}")
    alphas_cumprod = scheduler.alphas_cumprod.double()
    return {
        "alphas_cumprod": alphas_cumprod,
        "final_alpha_prod": 1.0 if config.set_alpha_to_one else float(alphas_cumprod[0]),
        "steps_offset": int(config.steps_offset),
        "timestep_spacing": config.timestep_spacing,
        "prediction_type": config.prediction_type,
    }


def own_values(folder: Path) -> dict[str, Any]:
    """What a model made for edit-real says of itself in `edit_real.json`, or what holds for Stable Diffusion."""
    path = folder / "edit_real.json"
    content = read_json(path) if path.exists() else {}
    words = content.get("known_words")
    return {
        "known_words": None if words is None else frozenset(words),
        "guidance_scale": float(content.get("guidance_scale", STABLE_DIFFUSION_GUIDANCE)),
    }


def find_device(device: str | torch.device | None) -> torch.device:
    """The device of that name; by default CUDA, else MPS, else the CPU."""
    if device is None:
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise EditRealError(f"expected a device that torch can use here, such as cpu, got {str(device)!r}") from error
    return found


def default_dtype(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
