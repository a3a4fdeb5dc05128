"""What is refused of a request before a model is loaded: all that can be told without one."""

from __future__ import annotations

import numpy as np

from backbones.errors import EditRealError
from backbones.geometry import Geometry, plan_geometry
from backbones.photo import Photo
from editing.captions import check_caption
from editing.settings import MASKS, EditSettings
from masks.user_mask import read_mask


def check_request(
    photo: Photo,
    *,
    region: tuple[int, int, int, int] | None = None,
    settings: EditSettings | None = None,
    **captions: str,
) -> None:
    """Refuses what no model could do.

    Args:
        photo: The photo.
        region: The part (left, top, right, bottom) of it to work on.
        settings: Of the edit, whose masks must fit the photo.
        **captions: By what they are: `caption` and `new_caption`.

    Raises:
        EditRealError: A caption that says nothing, a region outside the photo, or a mask that cannot be used or is to
            include nothing of the region.
    """
    for name, text in captions.items():
        check_caption(text, name.replace("_", " "))
    geometry = plan_geometry(photo.size, 1, 1, region)  # whether the region fits does not depend on the model's size
    if settings is not None:
        masks = {name: getattr(settings, name) for name in MASKS}
        read = {name: read_mask(mask, photo.size, name) for name, mask in masks.items() if mask is not None}
        check_in_region(read.get("include_mask"), geometry, "include_mask")


def check_in_region(mask: np.ndarray | None, geometry: Geometry, what: str = "a mask") -> None:
    """Refuses a mask `(H, W)` bool that is white outside the part of the photo alone that is worked on.

    Args:
        mask: At the photo's size, or None.
        geometry: Of that part.
        what: Its name in the error.

    Raises:
        EditRealError: It is.
    """
    if mask is not None and not geometry.crop(mask).any():
        raise EditRealError(
            f"expected {what} with white pixels in the region {geometry.box}, got none there; move one of them"
        )
