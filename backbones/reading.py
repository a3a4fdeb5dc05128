"""What is said of a model's folder that cannot be read, in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from backbones.errors import EditRealError

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)
"""What diffusers, transformers and safetensors raise on a damaged or foreign folder."""


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
