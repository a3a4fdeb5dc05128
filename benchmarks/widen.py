"""Photos in which the thing is small, made of those in which it is large, so that how small it is can be chosen."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from benchmarks.edits import Edit

MOST_OF_RIM = 0.2  # of the frame's rim, that the region of an edit may hold; beyond, it is ground or cut off there
RIM = 7  # pixels beyond a thing's mask that still show it
REACH = 5  # of Telea's filling, in pixels


def stands_free(edit: Edit) -> bool:
    """Whether an edit is about a thing that the frame does not cut off."""
    region = edit.region
    return float(np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]]).mean()) <= MOST_OF_RIM


def widen(edit: Edit, factor: float) -> Edit:
    """The edit with its photo in the middle of a frame `factor` times as wide and high, where its ground goes on.

    The ground is the photo's own without the thing, which is filled by Telea's method, and mirrored.
    """
    height, width = edit.region.shape
    above, left = (round(side * (factor - 1) / 2) for side in (height, width))
    around = (above, above, left, left)
    held = cv2.dilate(edit.region.astype(np.uint8), np.ones((RIM, RIM), np.uint8))
    ground = cv2.inpaint(np.ascontiguousarray(edit.photo), held, REACH, cv2.INPAINT_TELEA)
    photo = cv2.copyMakeBorder(ground, *around, cv2.BORDER_REFLECT)
    photo[above : above + height, left : left + width] = edit.photo
    region, border = (
        None if mask is None else np.pad(mask, ((above, above), (left, left))) for mask in (edit.region, edit.border)
    )
    return replace(edit, photo=photo, region=region, border=border)
