"""How well two masks agree."""

from __future__ import annotations

import numpy as np


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two boolean masks."""
    return float((mask & truth).sum() / max((mask | truth).sum(), 1))
