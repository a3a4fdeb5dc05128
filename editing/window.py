"""Windows: a share of the steps, as the user gives it and as the steps that it holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backbones.errors import EditRealError
from backbones.option import Kind, Option

if TYPE_CHECKING:
    import torch

Window = float | tuple[float, float]
"""A share of the steps: a number is the share from the beginning, a pair is (start, end)."""


def window_bounds(window: Window, name: str = "") -> tuple[float, float]:
    """The window's start and end; `name` is the setting's in the error.

    Raises:
        EditRealError: It is none, or outside [0, 1].
    """
    try:
        start, end = (0.0, window) if isinstance(window, int | float) else window
        fits = 0 <= start <= end <= 1 and not isinstance(window, bool)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        what = f"{name} as a window" if name else "a window"
        raise EditRealError(f"expected {what} of shares between 0 and 1, such as 0.8 or (0.1, 0.8), got {window!r}")
    return start, end


def steps_in(window: Window, sampled: range) -> torch.Tensor:
    """Which of the schedule's steps lie inside a window, `(steps,)` bool.

    A bound that falls between two steps goes to the nearer one, half up.

    Args:
        window: Shares of the steps that are sampled.
        sampled: Those, up to the schedule's last.

    Raises:
        EditRealError: It is no window.
    """
    import torch  # settings are read without it

    start, end = (sampled.start + _nearest(bound * len(sampled)) for bound in window_bounds(window))
    index = torch.arange(sampled.stop)
    return (index >= start) & (index < end)


def _nearest(place: float) -> int:
    """The nearest whole number, half up, whatever the last bits of a product such as 0.29 x 50 are."""
    return math.floor(round(place, 9) + 0.5)


def _check_window(name: str, value: Any, option: Option) -> None:
    window_bounds(value, name)


def _check_windows(name: str, value: Any, option: Option) -> None:
    if not isinstance(value, Mapping):
        window_bounds(value, name)
        return
    for word, window in value.items():
        if not isinstance(word, str):
            raise EditRealError(f"expected {name} as words with their windows, {{'pink': 0.4}}, got {value!r}")
        window_bounds(window, f"{name} of {word!r}")


WINDOW = Kind("window", ("0.4", "(0.1, 0.4)"), _check_window)
WINDOWS = Kind("windows", ("0.8", "(0.1, 0.8)", '{"pink": 0.4, "default": 0.8}'), _check_windows)
