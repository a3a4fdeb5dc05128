"""`load_backbone`: the bundled model, a folder, a file, a hub id or a pipeline in memory, as a `Backbone`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from backbones.backbone import Backbone, Family
from backbones.checkpoint import read_checkpoint
from backbones.errors import EditRealError
from backbones.hub import find_folder
from backbones.memory import ROWS_AT_ONCE, Stay, free_memory, plan_stays, tell_stays
from backbones.paths import expanded
from backbones.reading import config_of, read_json, read_parts

ModelSource = str | Path | Any
"""`bundled`, a folder in diffusers' layout, a `.safetensors` file, a hub id, or a pipeline of diffusers in memory."""

FOREIGN_SCHEDULERS = ("EDM", "FlowMatch")  # whose levels are not those of a schedule of alphas


@dataclass(frozen=True)
class Found:
    """A model before it is a backbone.

    Attributes:
        name: What it was asked for as.
        family: Its family.
        parts: Networks, tokenizers and scheduler, by the names that diffusers' pipeline has for them.
        index: The pipeline's own configuration.
        own: What a model made for edit-real says of itself, the content of its `edit_real.json`.
    """

    name: str
    family: Family
    parts: dict[str, Any]
    index: Mapping[str, Any]
    own: Mapping[str, Any] = field(default_factory=dict)


def load_backbone(
    model: ModelSource = "bundled",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    *,
    variant: str | None = None,
    config: str | Path | None = None,
) -> Backbone:
    """Load a model of one of the `FAMILIES`, in safetensors, with its weights frozen.

    Args:
        model: `bundled`, a folder in diffusers' layout, a single `.safetensors` file in the layout of the model's
            authors, the id of a model on the Hugging Face hub, or a pipeline of diffusers that is in memory already,
            with whatever LoRAs and textual inversions were put into it. Its networks are used, not copied, and frozen.
        device: CUDA where there is one, else Apple's MPS, else the CPU; a pipeline stays where it is. Networks
            that do not fit on a card take turns on it, and a line says so.
        dtype: Of the denoiser and text encoders. On CUDA bfloat16 where the card has it and float16 elsewhere; float32
            on the other devices. A pipeline keeps its own.
        variant: Of the weights in a folder or on the hub, such as `fp16`; by default the plain ones where there are
            any.
        config: For a single file: a folder or hub id of a model of the same kind, for configurations and tokenizers.

    Raises:
        EditRealError: The model cannot be found, reached or read, or is of a family that is not supported.

    Example:
        >>> backbone = load_backbone("bundled", device="cpu")
        >>> backbone.dtype
        torch.float32
    """
    if not isinstance(model, str | Path):
        return _of_pipeline(model, device, dtype)
    place = find_device(device)
    kind = dtype or default_dtype(place)
    path = expanded(model)
    if path.suffix == ".safetensors":
        return build(_in_pipeline(read_checkpoint(path, config), str(model)), place, kind)
    if config is not None:
        raise EditRealError(f"expected no config beside {str(model)!r}, which has its own; leave it out")
    return build(_in_folder(str(model), variant, kind), place, kind)


def build(found: Found, device: torch.device, dtype: torch.dtype) -> Backbone:
    """A backbone of a model's parts: networks frozen, in their number formats, on the device or waiting for it."""
    parts = {name: _prepared(part, dtype) for name, part in found.parts.items()}
    fields = found.family.assemble(parts, found.index)
    networks = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
    words, own = found.own.get("known_words"), found.own
    backbone = Backbone(
        name=found.name,
        family=found.family,
        **fields,
        known_words=None if words is None else frozenset(words),
        guidance_scale=float(own.get("guidance_scale", found.family.guidance_scale)),
        mask_spread=int(own.get("mask_spread", Backbone.mask_spread)),
        device=device,
        words={kind: tuple(known) for kind, known in own.get("words", {}).items()},
        trust=own.get("trust"),
    )
    settle(backbone, networks)
    return backbone


def settle(backbone: Backbone, networks: Mapping[str, nn.Module]) -> None:
    """Moves networks to their device: all of them where they fit, else as `plan_stays` has it, which one line tells."""
    device = backbone.device
    ordered = dict(sorted(networks.items(), key=lambda pair: pair[1] is not backbone.denoiser))
    stays: dict[str, Stay] = dict.fromkeys(ordered, "stays")
    if device.type == "cuda" and any(network.device.type != "cuda" for network in ordered.values()):
        free = free_memory(device)
        side = backbone.image_size // backbone.vae_factor
        working = ROWS_AT_ONCE * backbone.activations(side, side) * backbone.dtype.itemsize
        stays = plan_stays(ordered, free, working)
        told = tell_stays(stays, ordered, free)
        if told:
            warnings.warn(told, stacklevel=4)
    for name, network in ordered.items():
        if stays[name] == "stays":
            network.to(device)
        elif stays[name] == "layers":
            from accelerate import cpu_offload

            cpu_offload(network, execution_device=device)


def find_family(index: Mapping[str, Any], where: str) -> Family:
    """The family of a pipeline, by its configuration; `where` it is, such as "in memory", is for the error.

    Raises:
        EditRealError: It is of a family that is not among `FAMILIES`.
    """
    from backbones.families import FAMILIES, REFUSED  # brings diffusers, which takes seconds

    name = str(index.get("_class_name", "a pipeline without a name"))
    if name in REFUSED:
        raise EditRealError(f"expected a text-to-image model, got {name} {where}: {REFUSED[name]}")
    if name not in FAMILIES:
        raise EditRealError(f"expected a model of {', '.join(FAMILIES)}, got {name} {where}; choose another model")
    return FAMILIES[name]


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


def _in_folder(model: str, variant: str | None, dtype: torch.dtype) -> Found:
    folder = find_folder(model, variant, _family_in)
    index, family = read_json(folder / "model_index.json"), _family_in(folder)
    there = {name: kind for name, kind in family.parts.items() if (folder / name).is_dir()}
    missing = [f"{name}/" for name in family.parts if name not in there and name not in family.optional]
    if missing:
        raise EditRealError(f"expected a diffusers pipeline folder at {folder}, got one without {', '.join(missing)}")
    networks = [name for name, kind in there.items() if issubclass(kind, nn.Module)]
    family.check({name: read_json(folder / name / "config.json") for name in networks})
    _check_scheduler(read_json(folder / "scheduler" / "scheduler_config.json").get("_class_name"), family)
    wanted = {name: (kind, _dtype_of(kind, dtype) if name in networks else None) for name, kind in there.items()}
    return Found(model, family, read_parts(folder, wanted, variant), index, _own_values(folder))


def _family_in(folder: Path) -> Family:
    return find_family(read_json(folder / "model_index.json"), f"at {folder}")


def _of_pipeline(pipeline: Any, device: str | torch.device | None, dtype: torch.dtype | None) -> Backbone:
    if not hasattr(pipeline, "components"):
        raise EditRealError(
            f"expected a model as text, a path or a pipeline of diffusers, got {type(pipeline).__name__}"
        )
    found = _in_pipeline(pipeline, str(getattr(pipeline, "name_or_path", None) or type(pipeline).__name__))
    networks = [part for part in found.parts.values() if isinstance(part, nn.Module)]
    if any(hasattr(module, "_hf_hook") for network in networks for module in network.modules()):
        raise EditRealError(
            "expected a pipeline without offloading, which is looked after here, got one with its hooks; call "
            "pipeline.remove_all_hooks() and pass device='cuda'"
        )
    denoiser = networks[0]
    return build(
        found,
        denoiser.device if device is None else find_device(device),  # type: ignore[arg-type]
        denoiser.dtype if dtype is None else dtype,  # type: ignore[arg-type]
    )


def _in_pipeline(pipeline: Any, name: str) -> Found:
    family = find_family({"_class_name": type(pipeline).__name__}, "in memory")
    components = pipeline.components
    parts = {part: components[part] for part in family.parts if components.get(part) is not None}
    missing = [part for part in family.parts if part not in parts and part not in family.optional]
    if missing:
        raise EditRealError(f"expected a whole pipeline, got one without {', '.join(missing)}; load these as well")
    family.check({part: config_of(network) for part, network in parts.items() if isinstance(network, nn.Module)})
    _check_scheduler(type(parts["scheduler"]).__name__, family)
    parts["scheduler"] = family.parts["scheduler"].from_config(parts["scheduler"].config)
    return Found(name, family, parts, dict(pipeline.config), _own_values(Path(name)))


def _own_values(folder: Path) -> dict[str, Any]:
    path = folder / "edit_real.json"
    return read_json(path) if path.is_file() else {}


def _check_scheduler(name: str | None, family: Family) -> None:
    ours = family.parts["scheduler"].__name__
    foreign = [start for start in FOREIGN_SCHEDULERS if (name or "").startswith(start) and not ours.startswith(start)]
    if foreign:
        raise EditRealError(f"expected a model with the noise levels of {ours}, got one with those of {name}")


def _prepared(part: Any, dtype: torch.dtype) -> Any:
    """A network frozen and in its number format; other parts as they are.

    An autoencoder of another format is copied, so that the pipeline which it came from keeps its own.
    """
    if not isinstance(part, nn.Module):
        return part
    wanted = _dtype_of(type(part), dtype)
    if _is_autoencoder(type(part)) and part.dtype != wanted:
        part = copy.deepcopy(part)
    if part.dtype != wanted:
        nn.Module.to(part, wanted)  # diffusers' own says how it should have been loaded
    return part.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def _dtype_of(kind: type, dtype: torch.dtype) -> torch.dtype:
    """The autoencoder is always float32, since half precision blackens images."""
    return torch.float32 if _is_autoencoder(kind) else dtype


def _is_autoencoder(kind: type) -> bool:
    from diffusers import AutoencoderKL

    return issubclass(kind, AutoencoderKL)
