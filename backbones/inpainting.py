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
    model: str | Path | StableDiffusionInpaintPipeline,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> StableDiffusionInpaintPipeline:
    """Load a Stable Diffusion model that was trained to inpaint, in safetensors.

    Args:
        model: A folder in diffusers' layout, the id of a model on the Hugging Face hub, or the pipeline itself, which
            is given back as it is.
        device: As in `load_backbone`.
        dtype: Of all networks, the autoencoder among them, since diffusers' pipeline knows a single one.

    Raises:
        EditRealError: The model cannot be found, reached or read, or is no inpainting model.
    """
    from diffusers import StableDiffusionInpaintPipeline  # brings much that nothing else here needs

    if isinstance(model, StableDiffusionInpaintPipeline):
        _check_channels(model.unet.config.in_channels, "in memory")
        return model
    if not isinstance(model, str | Path):
        raise EditRealError(
            f"expected a folder, a hub id or a StableDiffusionInpaintPipeline to inpaint with, got "
            f"{type(model).__name__}; pass one of these, or choose the method 'blended'"
        )
    folder = find_folder(str(model))
    _check_channels(read_json(folder / "unet" / "config.json").get("in_channels"), f"at {folder}")
    device = find_device(device)
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


def _check_channels(channels: int | None, where: str) -> None:
    if channels != CHANNELS:
        raise EditRealError(
            f"expected an inpainting model, whose UNet takes {CHANNELS} channels, got one that takes {channels} "
            f"{where}; pass the folder or hub id of one, or choose the method 'blended'"
        )
