"""How well two masks agree."""

from __future__ import annotations

import numpy as np


def iou(mask: np.ndarray, truth: np.ndarray, unsure: np.ndarray | None = None) -> float:
    """Intersection over union of two boolean masks; pixels of which nobody knows better are left out of both."""
    if unsure is not None:
        mask, truth = mask & ~unsure, truth & ~unsure
    return float((mask & truth).sum() / max((mask | truth).sum(), 1))
