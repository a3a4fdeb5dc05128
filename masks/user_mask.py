"""A mask that the user drew, read and checked."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageChops

from backbones.errors import EditRealError
from backbones.photo import Photo, open_photo

MaskSource = str | Path | Image.Image | np.ndarray


def read_mask(source: MaskSource, photo_size: tuple[int, int], what: str = "mask") -> np.ndarray:
    """A mask as `(H, W)` bool: True where it is lighter than mid-grey.

    Pictures are read as photos are: turned upright, and what is transparent counts as black.

    Args:
        source: A path or an image in any form that photos come in, or an array `(H, W)`: bool, 0..1, 0..255, or
            0..65535 in uint16.
        photo_size: `(width, height)` that it must have.
        what: Its name in error messages.

    Raises:
        EditRealError: It cannot be read, has another size than the photo, or is empty.
    """
    if isinstance(source, np.ndarray):
        array = source
    else:
        try:
            picture = open_photo(source)
        except EditRealError as error:
            raise EditRealError(f"expected a readable picture as {what}, got {source}: {error}") from error
        array = np.asarray(lightness(picture))
    if array.shape != (photo_size[1], photo_size[0]):
        shape = f"{array.shape[1]}x{array.shape[0]}" if array.ndim == 2 else f"an array of shape {array.shape}"
        raise EditRealError(f"expected {what} of the photo's size, {photo_size[0]}x{photo_size[1]}, got {shape}")
    mask = array if array.dtype == bool else array > _middle(array)
    if not mask.any():
        raise EditRealError(
            f"expected {what} with some white pixels, got an empty one; paint white what it should hold"
        )
    return mask


def lightness(picture: Photo) -> Image.Image:
    """A picture's lightness, L; what is transparent counts as black."""
    gray = picture.image.convert("L")
    return gray if picture.alpha is None else ImageChops.multiply(gray, picture.alpha)


def _middle(levels: np.ndarray) -> float:
    """Half of the range that the levels are in, by their type and their greatest."""
    greatest = levels.max(initial=0)
    if levels.dtype == np.uint16 and greatest > 255:
        return 32767
    return 127 if greatest > 1 else 0.5


def shares(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """The share of each cell of a `height` x `width` grid over the mask `(H, W)` that it fills, float32 in [0, 1]."""
    return cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
