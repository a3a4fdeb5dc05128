"""How the rows of a batch of edits lie: the source, then the targets' unconditional and conditional rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from backbones.attention import Site
from backbones.condition import Condition, cat_conditions
from backbones.levels import Prediction


def of_source(site: Site, part: torch.Tensor, source: slice) -> torch.Tensor:
    """Keys or values `(B, heads, K, d)` with the source's pixels in every row; each row keeps its own words."""
    pixels = part[source, :, -site.cells :].expand(len(part), -1, -1, -1)
    return torch.cat([part[:, :, : -site.cells], pixels], 2) if site.kind == "joint" else pixels


@dataclass(frozen=True)
class Rows:
    """The layout for `edits` edits of one source: `1 + 2 * edits` rows.

    The source needs no unconditional partner, since where it goes is already known.
    """

    edits: int

    @property
    def source(self) -> slice:
        return slice(0, 1)

    @property
    def uncond(self) -> slice:
        return slice(1, 1 + self.edits)

    @property
    def cond(self) -> slice:
        return slice(1 + self.edits, 1 + 2 * self.edits)

    def join(self, source: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The source's latents `(1, C, h, w)` and the targets' `(N, C, h, w)` as one batch."""
        return torch.cat([source, targets, targets])

    def conditions(self, source: Condition, uncond: Condition, targets: Condition) -> Condition:
        """The source's row, one unconditional row for all targets, and the targets' rows as one batch."""
        return cat_conditions([source, uncond.expand(self.edits), targets])

    def split(self, prediction: Prediction) -> tuple[Prediction, Prediction, Prediction]:
        """A batch's prediction as that of the source, the unconditional and the conditional rows."""
        source, uncond, cond = (
            Prediction(*(part[rows] for part in prediction)) for rows in (self.source, self.uncond, self.cond)
        )
        return source, uncond, cond
