"""What is refused of a request before a model is loaded: all that can be told without one."""

from __future__ import annotations

from backbones.geometry import plan_geometry
from backbones.photo import Photo
from editing.captions import check_caption
from editing.settings import EditSettings
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
        EditRealError: A caption that says nothing, a region outside the photo, or a mask that cannot be used.
    """
    for name, text in captions.items():
        check_caption(text, name.replace("_", " "))
    plan_geometry(photo.size, 1, 1, region)  # whether the region fits does not depend on the model's size
    if settings is not None:
        for name in ("include_mask", "exclude_mask"):
            if (mask := getattr(settings, name)) is not None:
                read_mask(mask, photo.size, name)
