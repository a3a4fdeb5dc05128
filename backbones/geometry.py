"""Which part of a photo the model sees, and at what size."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backbones.errors import EditRealError

Box = tuple[int, int, int, int]
"""A part of a photo: left, top, right, bottom in upright photo pixels."""

MIN_SIDE = 16
"""Smallest side in pixels of a photo, or of a region of it, that is worth editing."""

MAX_ASPECT = 4
"""Longest side over shortest side that the model is asked to work at."""


@dataclass(frozen=True)
class Geometry:
    """Which part of the photo the model sees, and at what size.

    Attributes:
        photo_size: `(width, height)` of the upright photo.
        box: `(left, top, right, bottom)` in upright photo pixels.
        working_size: `(height, width)` of the model's pixels.
    """

    photo_size: tuple[int, int]
    box: tuple[int, int, int, int]
    working_size: tuple[int, int]

    @property
    def is_whole(self) -> bool:
        """Whether the model sees all of the photo."""
        return self.box == (0, 0, *self.photo_size)

    def crop(self, array: np.ndarray) -> np.ndarray:
        """The box of an array `(H, W, ...)` at the photo's size: a view `(bottom - top, right - left, ...)`."""
        self._check(array)
        left, top, right, bottom = self.box
        return array[top:bottom, left:right]

    def paste(self, part: np.ndarray, into: np.ndarray) -> np.ndarray:
        """A copy of an array `(H, W, ...)` at the photo's size with the box replaced by `part`, of `into`'s dtype."""
        self._check(into)
        left, top, right, bottom = self.box
        whole = into.copy()
        whole[top:bottom, left:right] = part
        return whole

    def _check(self, array: np.ndarray) -> None:
        width, height = self.photo_size
        if array.shape[:2] != (height, width):
            raise EditRealError(
                f"expected an array of the photo's size, ({height}, {width}, ...), got {array.shape}; resize it first"
            )


def plan_geometry(
    photo_size: tuple[int, int],
    model_size: int,
    multiple: int,
    region: tuple[int, int, int, int] | None = None,
) -> Geometry:
    """Choose the model's working size for a photo, or for a region of it.

    Its sides are multiples of `multiple`, its area is near `model_size`² and its aspect nearly the photo's; the model
    sees the whole photo, stretched by the small rest, so that no seam is left where a crop would end. A square gives
    `model_size` x `model_size`.

    Args:
        photo_size: `(width, height)` of the upright photo.
        model_size: Side in pixels of the squares that the model was trained on, a multiple of `multiple`.
        multiple: What both working sides must be multiples of.
        region: `(left, top, right, bottom)` in upright photo pixels to work on instead of the whole photo.

    Raises:
        EditRealError: The region is not inside the photo, or what is left is too small or too long and thin.
    """
    if multiple < 1 or model_size < multiple or model_size % multiple:
        raise EditRealError(f"expected a model size that is a multiple of {multiple}, got {model_size}")
    left, top, right, bottom = (0, 0, *photo_size) if region is None else _check_region(region, photo_size)
    width, height = right - left, bottom - top
    what = "photo" if region is None else "region"
    if min(width, height) < MIN_SIDE:
        raise EditRealError(
            f"expected a {what} of at least {MIN_SIDE} pixels a side, got {width}x{height}; take a larger one"
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        remedy = "pass a region of it" if region is None else "pass a squarer one"
        raise EditRealError(
            f"expected a {what} between 1:{MAX_ASPECT} and {MAX_ASPECT}:1, got {width}x{height}; {remedy}"
        )
    return Geometry(
        photo_size=(photo_size[0], photo_size[1]),
        box=(left, top, right, bottom),
        working_size=_working_size(width / height, model_size, multiple),
    )


def _check_region(region: Sequence[int], photo_size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = photo_size
    try:
        left, top, right, bottom = (operator.index(side) for side in region)
    except (TypeError, ValueError) as error:
        raise EditRealError(
            f"expected a region as four whole numbers (left, top, right, bottom), got {region}"
        ) from error
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        fault = "part of it lies beyond the photo"
        if left >= right or top >= bottom:
            fault = "left must be below right and top below bottom"
        raise EditRealError(
            f"expected a region (left, top, right, bottom) inside the photo of {width}x{height}, got {tuple(region)}; "
            f"{fault}"
        )
    return left, top, right, bottom


def _working_size(aspect: float, model_size: int, multiple: int) -> tuple[int, int]:
    """The `(height, width)` in multiples that stretches a photo of this aspect little, at an area near `model_size`².

    Both errors are counted as logarithms of ratios, that of the area a quarter.
    """

    def cost(size: tuple[int, int]) -> tuple[float, float]:
        height, width = size
        stretched = abs(math.log(width / height / aspect))
        return stretched + 0.25 * abs(math.log(width * height / model_size**2)), stretched

    sides = range(multiple, 2 * model_size + multiple, multiple)
    return min(((height, width) for height in sides for width in sides), key=cost)
