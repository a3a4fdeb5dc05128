"""A closer look: where the words speak of something small, the part round it is edited as a whole photo is.

There the model sees it at its full size, so that its maps have more cells for the thing and its latents more for what
is drawn of it; what lies outside of the part cannot change. A part has at least as many pixels a side as the model
sees, since to enlarge them further would show it nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backbones.backbone import Backbone
from backbones.geometry import Box
from backbones.view import View, look_at
from editing.place import Place
from editing.plan import EditPlan
from editing.source import Look, Part, Source, look_at_source
from editing.views import look_again
from inversion.invert import METHODS, invert
from inversion.progress import Progress
from inversion.settings import InversionSettings
from inversion.trajectory import Trajectory
from masks.user_mask import shares

MARGIN = 0.15  # of the longer side of what the words speak of, on each side of it, of which the grid may take some
LEAST_SIDE = 0.2  # of the photo's longer side, so that the model sees what the thing stands in
GRID = 32  # of the photo's longer side, on which parts lie, so that an outline may move a little within the same one
PARTS_KEPT = 3  # of one photo
ROWS_KEPT = 2  # of them with what further edits need not ask the model for, which takes most of the memory

Parts = list[tuple[Box | None, list[EditPlan]]]
"""Edits by the part of the photo that each is made in, None for the whole."""


def look_from_afar(
    backbone: Backbone,
    trajectory: Trajectory,
    view: View,
    plans: Sequence[EditPlan],
    known: Source | None = None,
    *,
    limit: float | None = None,
    progress: Progress | None = None,
) -> tuple[Look, Parts]:
    """A look at the whole photo, and the parts that edits are made in.

    Where all are made in parts, no rows of the whole photo's source are kept but those of before.

    Args:
        backbone: The model.
        trajectory: Of the photo.
        view: Of the photo.
        plans: Of edits that are alike in `control` and `exact`.
        known: What was found out before.
        limit: Bytes that the rows may take; None is a quarter of the memory that is free.
        progress: Told of every step.
    """
    is_new = known is None
    parts = [] if known is None else by_part(plans, Look(trajectory, view, known))
    if known is None or any(part is None for part, _ in parts):
        known = look_at_source(backbone, trajectory, plans, known, limit=limit, progress=progress)
    look = Look(trajectory, view, known)
    parts = parts or by_part(plans, look)
    needed = not is_new or any(part is None for part, _ in parts)
    return (look if needed else look._replace(source=known.without_rows())), parts


def look_closer(
    backbone: Backbone,
    look: Look,
    plans: Sequence[EditPlan],
    part: Box | None,
    *,
    limit: float | None = None,
    progress: Progress | None = None,
) -> Look:
    """The same of a part of the photo, by the same inversion; what is found out is kept with the photo's source.

    Args:
        backbone: The model.
        look: Of the whole photo.
        plans: Of edits in that part that are alike in `control` and `exact`.
        part: From `look_from_afar`; None is the whole photo, and gives `look` back.
        limit: Bytes that the part's rows may take; None is a quarter of the memory that is free.
        progress: Told of every step.
    """
    if part is None:
        return look
    parts = look.source.parts
    known = parts.get(part)
    if known is None:
        view = look_at(backbone, look.view.photo, part)
        trajectory = invert(backbone, view, look.trajectory.caption, _inverted_by(look.trajectory), progress)
        source = None
    else:
        trajectory, source = known
        view = look_again(trajectory, look.view.photo)
    source = look_at_source(backbone, trajectory, plans, source, limit=limit, progress=progress)
    parts.pop(part, None)
    parts[part] = Part(trajectory, source)  # the last
    for older in list(parts)[:-ROWS_KEPT]:
        if (kept := parts.get(older)) is not None:  # another thread may be here too
            parts[older] = kept._replace(source=kept.source.without_rows())
    for oldest in list(parts)[:-PARTS_KEPT]:
        parts.pop(oldest, None)
    return Look(trajectory, view, source)


def by_part(plans: Sequence[EditPlan], look: Look) -> Parts:
    """The plans by the part of the photo that each is made in."""
    found: dict[Box | None, list[EditPlan]] = {}
    for plan in plans:
        found.setdefault(part_round(plan, look), []).append(plan)
    return list(found.items())


def part_round(plan: EditPlan, look: Look) -> Box | None:
    """The part of a photo round the place of an edit, as square as the photo allows.

    Returns:
        `(left, top, right, bottom)` in photo pixels; None where it would fill `closer` of the photo or more, where the
        old words do not say where all of the edit takes place, where the user has chosen a region, or where the photo
        was not inverted in a way that is known.
    """
    trajectory, view, source = look
    width, height = view.photo.size
    if not (
        view.geometry.is_whole
        and plan.settings.local_blend
        and plan.kind != "style"
        and not (plan.region.added_words or plan.settings.mask_grows)
        and trajectory.method in METHODS
        and trajectory.asked is not None
    ):
        return None
    photo, least = np.array([width, height]), max(LEAST_SIDE * max(width, height), *view.geometry.working_size)
    most = plan.settings.closer * photo.prod()
    if np.minimum(least, photo).prod() >= most:
        return None
    outline = Place(plan, source.maps, view, source.outlines).outline()
    if plan.region.include is not None:
        outline = outline | (shares(plan.region.include, *outline.shape) > 0)
    rows, columns = np.flatnonzero(outline.any(1)), np.flatnonzero(outline.any(0))
    if not len(rows):
        return None
    scale, cell = photo / outline.shape[::-1], max(width, height) / GRID
    first, last = np.array([columns[0], rows[0]]) * scale, np.array([columns[-1] + 1, rows[-1] + 1]) * scale
    side = max(least, (1 + 2 * MARGIN) * (last - first).max())
    size = np.minimum(np.ceil(side / cell) * cell, photo)
    if size.prod() >= most:
        return None
    start = np.clip(np.rint((first + last - size) / 2 / cell) * cell, 0, photo - size)
    left, top = (int(one) for one in np.floor(start))
    right, bottom = (int(one) for one in np.minimum(np.ceil(start + size), photo))
    return left, top, right, bottom


def _inverted_by(trajectory: Trajectory) -> InversionSettings:
    """The settings of a trajectory's inversion; what is at its default by now may have had another when it was made."""
    asked = InversionSettings(**(trajectory.asked or {}))
    return replace(asked, inversion=trajectory.method, steps=trajectory.steps)
