"""A single file with all weights of a model, in the layout of its authors, as a pipeline of diffusers."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from backbones.errors import EditRealError
from backbones.hub import find_configs
from backbones.paths import expanded
from backbones.quiet import quiet_reading
from backbones.reading import UNREADABLE, read_json, reason_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

UNNEEDED: dict[str, Any] = {
    "safety_checker": None,
    "feature_extractor": None,
    "image_encoder": None,
    "requires_safety_checker": False,
}
"""Parts of pipelines that an edit has no use for."""


def read_checkpoint(path: Path, config: str | Path | None) -> DiffusionPipeline:
    """Reads a `.safetensors` file as float32; configurations and tokenizers, which it lacks, come from elsewhere.

    Args:
        path: The file.
        config: A folder in diffusers' layout or a hub id of a model of the same kind. By default the folder of the
            file's name beside it, else what diffusers takes the weights for, from the hub or what was downloaded of it.

    Raises:
        EditRealError: The file or the configuration cannot be found or read, or they do not fit.
    """
    if not path.is_file():
        raise EditRealError(f"expected a file of weights at {path}, got none; check the name")
    folder = _find_config(path, config)
    kind = read_json(folder / "model_index.json").get("_class_name")
    import diffusers  # brings the pipelines, which nothing else here needs
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    pipeline = getattr(diffusers, str(kind), None)
    if not hasattr(pipeline, "from_single_file"):
        raise EditRealError(f"expected the configuration of a model that single files hold, got {kind} at {folder}")
    takes = inspect.signature(pipeline.__init__).parameters  # type: ignore[misc]
    unneeded = {name: value for name, value in UNNEEDED.items() if name in takes}
    try:
        with quiet_reading():
            return pipeline.from_single_file(  # type: ignore[no-any-return,union-attr]
                str(path), config=str(folder), local_files_only=True, torch_dtype=torch.float32, **unneeded
            )
    except (*UNREADABLE, SingleFileComponentError) as error:
        raise EditRealError(
            f"expected a file of weights that fits the configuration at {folder}, got {path}: {reason_of(error)}"
        ) from error


def _find_config(path: Path, config: str | Path | None) -> Path:
    beside = path.with_suffix("")
    if config is None and (beside / "model_index.json").is_file():
        return beside
    asked = _usual_config(path) if config is None else str(config)
    folder = expanded(asked)
    found = folder if (folder / "model_index.json").is_file() else find_configs(asked)
    if found is None:
        raise EditRealError(
            f"expected the configuration and tokenizer of {path.name}, got none from {asked!r}, which is no folder "
            f"here and could not be downloaded; put a diffusers folder of such a model at {beside} or pass config="
        )
    return found


def _usual_config(path: Path) -> str:
    """The hub id of the model that diffusers takes the weights for, by their names and shapes."""
    from diffusers.loaders.single_file_utils import fetch_diffusers_config, load_single_file_checkpoint

    try:
        return str(fetch_diffusers_config(load_single_file_checkpoint(str(path)))["pretrained_model_name_or_path"])
    except UNREADABLE as error:
        raise EditRealError(f"expected a readable .safetensors file at {path}, got: {reason_of(error)}") from error
