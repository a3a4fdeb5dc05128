"""Heat map -> mask: the published threshold and rules that adapt to the map.

Every rule is a function from a heat map `(h, w)` to a soft mask `(h, w)` in [0, 1] whose boundary is at 0.5, so that
masks can be joined, intersected and enlarged before anything is decided.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from backbones.errors import EditRealError
from backbones.precision import finest
from masks.aggregate import normalize

PUBLISHED_THRESHOLD = 0.3


def published(heat: torch.Tensor, threshold: float | None = None) -> torch.Tensor:
    """Over 0.3 of the maximum after a 3x3 max-pool (Hertz et al. 2023, and the authors' code)."""
    pooled = F.max_pool2d(heat[None, None], 3, stride=1, padding=1)[0, 0]
    return soften(pooled / pooled.max().clamp(min=1e-8), PUBLISHED_THRESHOLD if threshold is None else threshold)


def midrange(heat: torch.Tensor, threshold: float | None = None) -> torch.Tensor:
    """Over half of the way from the map's minimum to its maximum."""
    return soften(normalize(heat), 0.5 if threshold is None else threshold)


def otsu(heat: torch.Tensor, threshold: float | None = None) -> torch.Tensor:
    """Over the threshold that best separates the map into two classes (Otsu 1979)."""
    stretched = normalize(heat)
    return soften(stretched, otsu_threshold(stretched) if threshold is None else threshold)


def otsu_threshold(values: torch.Tensor) -> torch.Tensor:
    """The cut with the largest variance between the classes, halfway between the values on its two sides, `()`.

    No histogram: its bins would put the cut at the edge of the lower class rather than in the gap. It stays on the
    values' device, so that nothing waits for it.
    """
    ordered = values.flatten().to(finest(values.device)).sort().values
    if len(ordered) == 1:
        return torch.full_like(ordered[0], 0.5)
    below = torch.arange(1, len(ordered), device=ordered.device)
    sums, above = ordered.cumsum(0), len(ordered) - below
    between = below * above * ((sums[-1] - sums[:-1]) / above - sums[:-1] / below) ** 2
    best = between.argmax()
    # An index of one dimension: for a number torch would ask the device what it is.
    cut = (ordered[best[None]] + ordered[best[None] + 1])[0] / 2
    return torch.where(ordered[0] == ordered[-1], torch.full_like(cut, 0.5), cut)


RULES: dict[str, Callable[[torch.Tensor, float | None], torch.Tensor]] = {
    "otsu": otsu,
    "midrange": midrange,
    "published": published,
}


def binarize(heat: torch.Tensor, rule: str, threshold: float | None = None) -> torch.Tensor:
    """The soft mask of a heat map `(h, w)` under the rule of that name; `threshold` in (0, 1) overrides the rule's own.

    Raises:
        EditRealError: An unknown rule, or a threshold outside (0, 1).
    """
    if rule not in RULES:
        raise EditRealError(f"expected a mask rule among {', '.join(RULES)}, got {rule!r}")
    if threshold is not None and not 0 < threshold < 1:
        raise EditRealError(f"expected a mask threshold between 0 and 1, got {threshold}")
    return RULES[rule](heat.float(), threshold)


def soften(stretched: torch.Tensor, threshold: float | torch.Tensor) -> torch.Tensor:
    """Bends [0, 1] so that `threshold` falls on 0.5, keeping the order."""
    if isinstance(threshold, torch.Tensor):
        threshold = threshold.to(stretched)
    else:  # filled in on the device, since a copy would be waited for
        threshold = torch.full((), threshold, dtype=stretched.dtype, device=stretched.device)
    threshold = threshold.clamp(1e-3, 1 - 1e-3)
    below, above = 0.5 * stretched / threshold, 0.5 + 0.5 * (stretched - threshold) / (1 - threshold)
    return torch.where(stretched < threshold, below, above).clamp(0, 1)
