"""`load_inpainting`: a model that was trained to inpaint, as diffusers' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from backbones.errors import EditRealError
from backbones.hub import find_folder
from backbones.loading import default_dtype, find_device
from backbones.quiet import quiet_reading
from backbones.reading import UNREADABLE, read_json, reason_of

if TYPE_CHECKING:
    from diffusers import StableDiffusionInpaintPipeline

CHANNELS = 9  # of an inpainting UNet: noisy latents, mask, and the masked photo's latents


def load_inpainting(
    model: str | Path, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> StableDiffusionInpaintPipeline:
    """Load a Stable Diffusion model that was trained to inpaint, in safetensors.

    Args:
        model: A folder in diffusers' layout, or the id of a model on the Hugging Face hub.
        device: As in `load_backbone`.
        dtype: Of all networks, the autoencoder among them, since diffusers' pipeline knows a single one.

    Raises:
        EditRealError: The model cannot be found, reached or read, or is no inpainting model.
    """
    folder = find_folder(str(model))
    channels = read_json(folder / "unet" / "config.json").get("in_channels")
    if channels != CHANNELS:
        raise EditRealError(
            f"expected an inpainting model, whose UNet takes {CHANNELS} channels, got one that takes {channels} at "
            f"{folder}; pass the folder or hub id of one, or choose the method 'blended'"
        )
    device = find_device(device)
    from diffusers import StableDiffusionInpaintPipeline  # brings much that nothing else here needs

    try:
        with quiet_reading():
            pipeline = StableDiffusionInpaintPipeline.from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
            )
    except UNREADABLE as error:
        raise EditRealError(
            f"expected a readable inpainting pipeline in safetensors at {folder}, got: {reason_of(error)}"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device, dtype or default_dtype(device))
