"""How many edits are sampled at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.memory import rows_that_fit
from backbones.view import View
from editing.plan import EditPlan

MOST = 16  # edits at once; beyond, a batch takes as long as its parts


def in_batches(plans: Sequence[EditPlan], limit: int) -> Iterator[list[EditPlan]]:
    """The plans in order, at most `limit` at once, each batch alike in control and `exact`.

    Raises:
        EditRealError: `limit` is less than 1.
    """
    if limit < 1:
        raise EditRealError(f"expected a batch of 1 edit or more, got {limit}")
    for _, alike in groupby(plans, lambda plan: (plan.settings.control, plan.settings.exact)):
        same = list(alike)
        yield from (same[start : start + limit] for start in range(0, len(same), limit))


def edits_that_fit(backbone: Backbone, view: View) -> int:
    """An estimate of how many edits of a photo half of the free memory holds, from 1 to `MOST`."""
    height, width = view.latents.shape[-2:]
    return max(1, min(MOST, int((rows_that_fit(backbone, height, width) - 1) / 2)))
