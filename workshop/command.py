"""Runs a benchmark or a training step from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from backbones.errors import EditRealError


def run_command(main: Callable[..., None]) -> None:
    """Typer's `run`, with an error of the user's as one sentence instead of a traceback."""
    try:
        typer.run(main)
    except EditRealError as error:
        sys.exit(f"error: {error}")
