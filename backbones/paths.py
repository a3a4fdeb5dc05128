"""Paths as a user types them."""

from __future__ import annotations

from pathlib import Path


def expanded(path: str | Path) -> Path:
    """A path with the folder that `~` stands for; where nobody's is known, as of a photo called so, just as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
