"""`load_backbone`: the bundled model, a folder or a hub id, as a `Backbone`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from backbones.backbone import Backbone, Family
from backbones.errors import EditRealError
from backbones.families import FAMILIES
from backbones.reading import read_json

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
STABLE_DIFFUSION_GUIDANCE = 7.5


def load_backbone(
    model: str | Path = "bundled", device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Backbone:
    """Load a model of one of the `FAMILIES`, in safetensors, with its weights frozen.

    Args:
        model: `bundled`, a folder in diffusers' layout, or the id of a model on the Hugging Face hub.
        device: CUDA where there is one, else Apple's MPS, else the CPU.
        dtype: Of the denoiser and text encoders. On CUDA bfloat16 where the card has it and float16 elsewhere; float32
            on the other devices.

    Raises:
        EditRealError: The model cannot be found, reached or read, or is of a family that is not supported.

    Example:
        >>> backbone = load_backbone("bundled", device="cpu")
        >>> backbone.dtype
        torch.float32
    """
    device = find_device(device)
    folder = find_folder(str(model))
    family = find_family(folder)
    fields = family.load(folder, device, dtype or default_dtype(device))
    return Backbone(name=str(model), family=family, **fields, **own_values(folder))


def find_folder(model: str) -> Path:
    """The folder that holds the model, downloading it from the hub where it is no folder here."""
    folder = BUNDLED_FOLDER if model == "bundled" else Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model == "bundled":
        raise EditRealError(f"expected the bundled model at {folder}, got no such folder; reinstall edit-real")
    try:
        find_family(
            Path(snapshot_download(model, allow_patterns=["model_index.json"]))
        )  # before all the rest is fetched
        files = [f"*/*{end}" for end in (".json", ".txt", ".model", ".safetensors")]
        variants = ["*.fp16.*", "*.non_ema.*", "*.ema.*", "safety_checker/*", "feature_extractor/*"]
        return Path(snapshot_download(model, allow_patterns=["model_index.json", *files], ignore_patterns=variants))
    except EditRealError:
        raise
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise EditRealError(
            f"expected 'bundled', a folder or a reachable model on the Hugging Face hub, got {model!r}, which is no "
            "folder here and could not be downloaded; check the name and the network"
        ) from error


def find_family(folder: Path) -> Family:
    """The family of the pipeline in a folder.

    Raises:
        EditRealError: It is no pipeline, or of a family that is not among `FAMILIES`.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise EditRealError(f"expected a diffusers pipeline folder at {folder}, got one without model_index.json")
    name = read_json(index).get("_class_name", "a pipeline without a name")
    if name not in FAMILIES:
        raise EditRealError(f"expected a model of {', '.join(FAMILIES)}, got {name} at {folder}; choose another model")
    return FAMILIES[name]


def own_values(folder: Path) -> dict[str, Any]:
    """What a model made for edit-real says of itself in `edit_real.json`, or what holds for Stable Diffusion."""
    path = folder / "edit_real.json"
    content = read_json(path) if path.exists() else {}
    words = content.get("known_words")
    return {
        "known_words": None if words is None else frozenset(words),
        "words": {kind: tuple(found) for kind, found in content.get("words", {}).items()},
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
    """The number format in which networks run on a device unless told otherwise."""
    if device.type != "cuda":
        return torch.float32
    major, _ = torch.cuda.get_device_capability(device)  # torch's own test also counts emulation
    return torch.bfloat16 if major >= 8 else torch.float16
