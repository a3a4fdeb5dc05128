"""What the text became: all that a denoiser is told beside the latents and the timestep."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Condition:
    """One row for each image of a batch. Rows are selected by `condition[rows]`, which keeps the batch dimension.

    Attributes:
        embeds: An embedding of every token, `(B, K, D)` float32. This is what null-text optimisation tunes.
        pooled: One embedding of the whole caption, `(B, P)` float32; None where the family has none.
        extra: Further numbers that the family conditions on, `(B, E)` float32; None where it has none.
    """

    embeds: torch.Tensor
    pooled: torch.Tensor | None = None
    extra: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeds)

    def __getitem__(self, rows: int | slice | torch.Tensor) -> Condition:
        kept = slice(rows, rows + 1 or None) if isinstance(rows, int) else rows
        return self._each(lambda part: part[kept])

    def expand(self, count: int) -> Condition:
        """A single row `count` times, without copying it."""
        return self._each(lambda part: part.expand(count, *part.shape[1:]))

    def to(self, target: torch.device | torch.dtype | str) -> Condition:
        """The same on another device, or in another number format."""
        return self._each(lambda part: part.to(target))

    def with_embeds(self, embeds: torch.Tensor) -> Condition:
        """The same with other token embeddings, `(B, K, D)`."""
        return dataclasses.replace(self, embeds=embeds)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Condition:
        parts = (self.embeds, self.pooled, self.extra)
        embeds, pooled, extra = (None if part is None else change(part) for part in parts)
        assert embeds is not None
        return Condition(embeds, pooled, extra)


def cat_conditions(conditions: Sequence[Condition]) -> Condition:
    """The rows of all of them, in order. They are of one family, so either all or none have each part."""

    def joined(parts: list[torch.Tensor | None]) -> torch.Tensor | None:
        present = [part for part in parts if part is not None]
        assert len(present) in (0, len(parts)), "conditions of different families"
        return torch.cat(present) if present else None

    return Condition(
        torch.cat([one.embeds for one in conditions]),
        joined([one.pooled for one in conditions]),
        joined([one.extra for one in conditions]),
    )
