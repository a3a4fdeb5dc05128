"""How well two masks agree."""

from __future__ import annotations

import numpy as np


def iou(mask: np.ndarray, truth: np.ndarray, unsure: np.ndarray | None = None) -> float:
    """Intersection over union of two boolean masks, without the pixels of a third where nobody knows the truth."""
    if unsure is not None:
        mask, truth = mask & ~unsure, truth & ~unsure
    return float((mask & truth).sum() / max((mask | truth).sum(), 1))
