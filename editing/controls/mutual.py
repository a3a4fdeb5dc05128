"""Mutual self-attention: from a step and a layer on, the edit looks up its colours and textures in the source."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import torch

from backbones.attention import Control, Site, attention
from backbones.errors import EditRealError
from editing.rows import Rows, of_source
from editing.window import steps_in

if TYPE_CHECKING:
    from editing.plan import EditPlan

FIRST_STEP = 4 / 50  # share of the steps that form the layout (Cao et al., ICCV 2023, section 4)
FIRST_LAYER = 10 / 16  # of the self-attention layers; Stable Diffusion's first 10 precede the decoder's last two grids


class MutualSelfAttention(Control):
    """Both guidance rows of a target ask with their own queries, and find the source's keys and values.

    `softmax(q_target k_source) v_source` (MasaCtrl, Cao et al., ICCV 2023, equation 5). The layout is the new
    caption's, the contents are the photo's, so that shapes may change where prompt-to-prompt would hold them.

    The source has one row, under its caption. The authors' code has another, unconditional one, in which the target's
    unconditional row finds its keys and values.
    """

    def __init__(self, edits: int, sampled: range, sites: Sequence[Site]) -> None:
        of_self = [site for site in sites if site.kind in ("self", "joint")]
        self._rows = Rows(edits)
        self._sites = [site for index, site in enumerate(of_self) if index >= FIRST_LAYER * len(of_self)]
        self._steps = steps_in((FIRST_STEP, 1.0), sampled).tolist()

    def sites(self, step: int) -> Collection[Site]:
        return self._sites if self._steps[step] else ()

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        key, value = (of_source(site, part, self._rows.source) for part in (key, value))
        return attention(query, key, value)


def mutual(plans: Sequence[EditPlan], sites: Sequence[Site], device: torch.device) -> MutualSelfAttention:
    """The edit looks up its colours and textures in the photo, while its shape is free (Cao et al., ICCV 2023).

    Raises:
        EditRealError: A word's weight is asked for, which has no place in self-attention.
    """
    if any(plan.settings.reweight for plan in plans):
        raise EditRealError("expected no reweight with control='mutual', which leaves words alone; use 'replace'")
    return MutualSelfAttention(len(plans), plans[0].sampled, sites)
