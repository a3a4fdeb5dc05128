"""What all edits of one photo share, found out when the first of them asks for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from backbones.backbone import Backbone
from backbones.geometry import Box
from backbones.memory import free_memory
from backbones.pixels import to_unit
from backbones.view import View
from editing.maps import look_for_words, steps_mapped
from editing.place import Outlines
from editing.plan import EditPlan
from editing.source_rows import Needs, SourceRows, look_at_rows, needs_of, steps_looked_at
from inversion.invert import walk_of
from inversion.progress import Progress
from inversion.trajectory import Trajectory
from masks.aggregate import AttentionMaps
from masks.record import Looked, join_maps

SHARE_KEPT = 0.25  # of the memory that is free on the device, that the source's rows may take


class Drawn(NamedTuple):
    """What the model draws of a photo without an edit, `(h, w, 3)` in [0, 1] at its own size.

    Attributes:
        ceiling: The photo through the autoencoder alone.
        source: Where the source of the edits arrives. When it is replayed (`exact`), that is the ceiling again.
        guided: Where guided sampling with the photo's caption ends on its own; None where that is not known.
    """

    ceiling: np.ndarray
    source: np.ndarray
    guided: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Source:
    """What edits of one trajectory share.

    Attributes:
        maps: The attention of its caption over the photo.
        rows: What the model holds of it, so that it need not run along; None where it is to, or has to.
        drawn: What the model draws of it where it is replayed, which is found out once.
        outlines: Masks along the photo's edges that edits have made, for those of the same words.
        parts: Those of the photo that edits have looked at closer, see `editing.closer`; the last is the latest.
    """

    maps: AttentionMaps
    rows: SourceRows | None
    drawn: Callable[[], Drawn]
    outlines: Outlines = field(default_factory=dict)
    parts: dict[Box, Part] = field(default_factory=dict)

    def without_rows(self) -> Source:
        """The same, which takes little memory; parts keep theirs."""
        return self if self.rows is None else replace(self, rows=None)

    def without_any_rows(self) -> Source:
        """The same; what is kept of its parts lets go of theirs as well."""
        for box, part in tuple(self.parts.items()):
            self.parts[box] = part._replace(source=part.source.without_rows())
        return self.without_rows()


class Part(NamedTuple):
    """What is kept of a part of a photo; not the photo itself."""

    trajectory: Trajectory
    source: Source


class Look(NamedTuple):
    """What edits of a photo, or of a part of it, start from."""

    trajectory: Trajectory
    view: View
    source: Source


def look_at_source(
    backbone: Backbone,
    trajectory: Trajectory,
    plans: Sequence[EditPlan],
    known: Source | None = None,
    *,
    limit: float | None = None,
    progress: Progress | None = None,
) -> Source:
    """What the model sees in the source, as far as these edits want to know it.

    Args:
        backbone: The model.
        trajectory: Of the photo.
        plans: Of edits that are alike in `control` and `exact`.
        known: What was found out before; it comes back itself where these edits need no more.
        limit: Bytes that the source's rows may take; None is a quarter of the memory that is free.
        progress: Told of the steps that are looked at.
    """
    needs = _needs(backbone, trajectory, plans, limit)
    if needs is None:
        return known or look_without_rows(backbone, trajectory)
    if known is None:
        mapped = steps_mapped(trajectory)
        looked, rows = _look(backbone, trajectory, needs, limit, mapped, progress)
        maps = join_maps(looked, backbone.sites(*trajectory.latents.shape[-2:]))
        return Source(maps, rows, _drawn(backbone, trajectory))
    if known.rows is None or not known.rows.serve(needs):
        known = replace(known, rows=_look(backbone, trajectory, needs, limit, (), progress)[1])
    return known


def look_without_rows(backbone: Backbone, trajectory: Trajectory) -> Source:
    """The source without its rows: where the words are, at some of the steps."""
    return Source(look_for_words(backbone, trajectory), None, _drawn(backbone, trajectory))


def draw_unedited(backbone: Backbone, trajectory: Trajectory) -> Drawn:
    """Decodes what all edits are measured beside, each latent once."""
    photo, arrived = trajectory.latents[-1:], trajectory.arrived
    ceiling = draw(backbone, photo)
    if arrived is None:
        return Drawn(ceiling, ceiling, None)
    return Drawn(ceiling, ceiling, ceiling if torch.equal(arrived, photo) else draw(backbone, arrived))


def _drawn(backbone: Backbone, trajectory: Trajectory) -> Callable[[], Drawn]:
    return cache(lambda: draw_unedited(backbone, trajectory))


def draw(backbone: Backbone, latents: torch.Tensor) -> np.ndarray:
    """Latents `(1, C, h, w)` as a picture, `(h, w, 3)` in [0, 1]."""
    return to_unit(backbone.decode(latents.to(backbone.device))[0])


def _needs(backbone: Backbone, trajectory: Trajectory, plans: Sequence[EditPlan], limit: float | None) -> Needs | None:
    """What is looked at beforehand; None where nothing may be kept, or the source is another in every edit."""
    if limit == 0 or not walk_of(backbone, trajectory.to(backbone.device), plans[0].settings.exact).replays:
        return None
    height, width = trajectory.latents.shape[-2:]
    return needs_of(backbone, plans, height, width)


def _look(
    backbone: Backbone,
    trajectory: Trajectory,
    needs: Needs,
    limit: float | None,
    mapped: Collection[int],
    progress: Progress | None,
) -> tuple[list[Looked], SourceRows]:
    there = trajectory.to(backbone.device)
    room = SHARE_KEPT * free_memory(backbone.device) if limit is None else limit
    with (progress or Progress()).phase("look", steps_looked_at(trajectory, mapped)) as callback:
        return look_at_rows(backbone, there, needs, room, mapped=mapped, callback=callback)
