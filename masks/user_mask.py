"""A mask that the user drew, read and checked."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from backbones.errors import EditRealError

MaskSource = str | Path | Image.Image | np.ndarray


def read_mask(source: MaskSource, photo_size: tuple[int, int], what: str = "mask") -> np.ndarray:
    """A mask as `(H, W)` bool: True where it is lighter than mid-grey.

    Args:
        source: A path, an image or an array `(H, W)`, bool, 0..255 or 0..1.
        photo_size: `(width, height)` that it must have.
        what: Its name in error messages.

    Raises:
        EditRealError: It cannot be read, has another size than the photo, or is empty.
    """
    if isinstance(source, np.ndarray):
        array = source
    else:
        try:
            image = source if isinstance(source, Image.Image) else Image.open(source)
            array = np.asarray(image.convert("L"))
        except (OSError, UnidentifiedImageError, AttributeError) as error:  # AttributeError: no path, image or array
            raise EditRealError(f"expected a readable picture as {what}, got {source}: {error}") from error
    if array.shape != (photo_size[1], photo_size[0]):
        shape = f"{array.shape[1]}x{array.shape[0]}" if array.ndim == 2 else f"an array of shape {array.shape}"
        raise EditRealError(f"expected {what} of the photo's size, {photo_size[0]}x{photo_size[1]}, got {shape}")
    mask = array if array.dtype == bool else array > (127 if array.max() > 1 else 0.5)
    if not mask.any():
        raise EditRealError(
            f"expected {what} with some white pixels, got an empty one; paint white what it should hold"
        )
    return mask


def shares(mask: np.ndarray, box: tuple[int, int, int, int], height: int, width: int) -> np.ndarray:
    """The share of each cell of a `height` x `width` grid over `box` that the mask covers, float32 in [0, 1]."""
    left, top, right, bottom = box
    part = mask[top:bottom, left:right].astype(np.float32)
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
