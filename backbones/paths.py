"""Paths as a user types them."""

from __future__ import annotations

from pathlib import Path


def expanded(path: str | Path) -> Path:
    """A path whose `~/` is the user's own folder; any other name that begins so, such as a photo's, is what it says."""
    text = str(path)
    if text != "~" and not text.startswith("~/"):
        return Path(path)
    try:
        return Path(path).expanduser()
    except RuntimeError:  # nobody's own folder is known
        return Path(path)
