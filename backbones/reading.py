"""Parts of a model from a folder in diffusers' layout, with one sentence for whatever is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from backbones.errors import EditRealError

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)
"""What diffusers, transformers and safetensors raise on a damaged or foreign folder."""


def read_parts(folder: Path, parts: Mapping[str, tuple[Any, torch.dtype | None]]) -> list[Any]:
    """Each part by its class's `from_pretrained`.

    Args:
        folder: That holds a folder for each part.
        parts: Names, each with its class and, for a network, the number format in which it is read.

    Raises:
        EditRealError: A part cannot be read.
    """
    read = []
    for name, (kind, dtype) in parts.items():
        options = {} if dtype is None else {"use_safetensors": True, "torch_dtype": dtype}
        try:
            read.append(kind.from_pretrained(folder / name, **options))
        except UNREADABLE as error:
            raise EditRealError(
                f"expected a readable diffusers model in safetensors at {folder}, got: {reason_of(error)}"
            ) from error
    return read


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's content.

    Raises:
        EditRealError: It is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        return content
    except (OSError, ValueError) as error:
        raise EditRealError(f"expected a readable JSON file at {path}, got: {error}") from error


def reason_of(error: BaseException) -> str:
    """The first line of what an exception says, or its name where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__
