"""Parts of a model from a folder in diffusers' layout, with one sentence for whatever is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from backbones.errors import EditRealError
from backbones.quiet import quiet_reading

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)
"""What diffusers, transformers and safetensors raise on a damaged or foreign folder."""

_WEIGHTS = re.compile(r"[a-z_]+(?:\.(\w+))?(?:-\d+-of-\d+)?\.safetensors")


def read_parts(
    folder: Path, parts: Mapping[str, tuple[Any, torch.dtype | None]], variant: str | None = None
) -> dict[str, Any]:
    """Each part by its class's `from_pretrained`.

    Args:
        folder: That holds a folder for each part.
        parts: Names, each with its class and, for a network, the number format in which it is read.
        variant: Of the weights, such as `fp16`; None takes the plain ones, or the only ones that there are.

    Raises:
        EditRealError: A part cannot be read, or has no weights of that variant.
    """
    read = {}
    for name, (kind, dtype) in parts.items():
        options: dict[str, Any] = {}
        if dtype is not None:
            options = {"use_safetensors": True, "torch_dtype": dtype, "variant": find_variant(folder / name, variant)}
        try:
            with quiet_reading():
                read[name] = kind.from_pretrained(folder / name, **options)
        except UNREADABLE as error:
            raise EditRealError(
                f"expected a readable diffusers model in safetensors at {folder}, got: {reason_of(error)}"
            ) from error
    return read


def find_variant(folder: Path, asked: str | None) -> str | None:
    """The variant of the weights in a network's folder to read; None is the plain ones.

    Raises:
        EditRealError: There are none of the variant that was asked for, or several and none was.
    """
    matches = (_WEIGHTS.fullmatch(path.name) for path in folder.glob("*.safetensors"))
    found = {match.group(1) for match in matches if match}
    if asked in found or not found:
        return asked
    if asked is None and len(found) == 1:
        return found.pop()
    have = ", ".join(repr(one) if one else "plain ones" for one in sorted(found, key=str))
    remedy = "choose one of these" if asked is None else "leave variant out"
    raise EditRealError(f"expected weights of the variant {asked!r} in {folder}, got {have}; {remedy}")


def config_of(network: nn.Module) -> dict[str, Any]:
    """The configuration of a network of diffusers or transformers."""
    config: Any = network.config
    return dict(config.to_dict() if hasattr(config, "to_dict") else config)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        EditRealError: It is missing, damaged or of another kind.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise EditRealError(f"expected a readable JSON file at {path}, got: {error}") from error
    if not isinstance(content, dict):
        raise EditRealError(f"expected a JSON object in {path}, got {type(content).__name__}")
    return content


def reason_of(error: BaseException) -> str:
    """The first line of what an exception says, or its name where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__
