"""What all edits of one photo share, found out before the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from backbones.backbone import Backbone
from backbones.memory import free_memory
from backbones.pixels import to_unit
from backbones.view import View
from editing.maps import MAP_LEVELS, look_for_words
from editing.pictures.heat import heat_images
from editing.plan import EditPlan
from editing.source_rows import Needs, SourceRows, look_at_rows, needs_of
from inversion.invert import walk_of
from inversion.trajectory import Trajectory
from masks.aggregate import AttentionMaps

SHARE_KEPT = 0.25  # of the memory that is free on the device, that the source's rows may take


@dataclass(frozen=True, eq=False)
class Source:
    """What edits of one trajectory share.

    Attributes:
        maps: The attention of its caption over the photo.
        rows: What the model holds of it, so that it need not run along; None where it is to, or has to.
        heats: The caption's words on the photo, as pictures.
        ceiling: The photo through the autoencoder alone, `(h, w, 3)` in [0, 1].
        guided: Where guided sampling with the caption ends on its own, the same; None where that is not known.
    """

    maps: AttentionMaps
    rows: SourceRows | None
    heats: dict[str, Image.Image]
    ceiling: np.ndarray
    guided: np.ndarray | None


def look_at_source(
    backbone: Backbone, trajectory: Trajectory, view: View, plans: Sequence[EditPlan], limit: float | None = None
) -> Source:
    """What the model sees in the source, as far as these edits want to know it.

    Args:
        backbone: The model.
        trajectory: Of the photo.
        view: Of it.
        plans: Of edits that are alike in `control` and `exact`.
        limit: Bytes that the source's rows may take; None is a quarter of the memory that is free.
    """
    trajectory = trajectory.to(backbone.device)
    needs = _needs(backbone, trajectory, plans, limit)
    if needs is None:
        maps, rows = look_for_words(backbone, trajectory), None
    else:
        maps, rows = look_at_rows(backbone, trajectory, needs, _bytes(backbone, limit), MAP_LEVELS)
    photo, arrived = trajectory.latents[-1:], trajectory.arrived
    ceiling = draw(backbone, photo)
    guided = None if arrived is None else ceiling if torch.equal(arrived, photo) else draw(backbone, arrived)
    heats = heat_images(maps, plans[0].alignment.source, view.photo, view.geometry)
    return Source(maps, rows, heats, ceiling, guided)


def look_for_more(
    backbone: Backbone, trajectory: Trajectory, source: Source, plans: Sequence[EditPlan], limit: float | None = None
) -> Source:
    """The same with the rows that these edits need, where others were looked at before."""
    needs = _needs(backbone, trajectory, plans, limit)
    if needs is None or (source.rows is not None and source.rows.serve(needs)):
        return source
    _, rows = look_at_rows(backbone, trajectory.to(backbone.device), needs, _bytes(backbone, limit), MAP_LEVELS)
    return replace(source, rows=rows)


def draw(backbone: Backbone, latents: torch.Tensor) -> np.ndarray:
    """Latents `(1, C, h, w)` as a picture, `(h, w, 3)` in [0, 1]."""
    return to_unit(backbone.decode(latents)[0])


def _needs(backbone: Backbone, trajectory: Trajectory, plans: Sequence[EditPlan], limit: float | None) -> Needs | None:
    """What is looked at beforehand; None where nothing may be kept, or the source is another in every edit."""
    if limit == 0 or not walk_of(backbone, trajectory.to(backbone.device), plans[0].settings.exact).replays:
        return None
    height, width = trajectory.latents.shape[-2:]
    return needs_of(backbone, plans, height, width)


def _bytes(backbone: Backbone, limit: float | None) -> float:
    return SHARE_KEPT * free_memory(backbone.device) if limit is None else limit
