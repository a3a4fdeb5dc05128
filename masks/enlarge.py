"""Small pictures at a photo's size, a stripe at a time: at 50 megapixels a few float channels are gigabytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np

STRIPE = 2**18  # pixels that are worked on at once


class Enlargement:
    """What `cv2.resize` makes of each channel of `small`, in any rows and columns of it, without the whole.

    Every pixel is computed alike whatever is asked for with it, so that stripes have no seams.
    """

    def __init__(self, small: np.ndarray, size: tuple[int, int], interpolation: int = cv2.INTER_LINEAR) -> None:
        """`small` is `(h, w, C)` float32, `size` the `(width, height)` to come to."""
        (width, height), own = size, len(small)
        channels = np.moveaxis(small, -1, 0)
        self._wide = np.stack([_resize(channel, (width, own), interpolation) for channel in channels])
        weights = _resize(np.eye(own, dtype=np.float32), (own, height), interpolation)
        taps = int((weights != 0).sum(1).max())
        self._first = np.minimum((weights != 0).argmax(1), own - taps)
        self._weights = np.take_along_axis(weights, self._first[:, None] + np.arange(taps), 1)

    def part(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """`(C, h, w)` float32."""
        wide, first, weights = self._wide[..., columns], self._first[rows], self._weights[rows]
        result = np.empty((len(wide), len(first), wide.shape[-1]), np.float32)
        edges = np.flatnonzero(np.diff(first, prepend=-1, append=-1)).tolist()
        for start, stop in pairwise(edges):  # rows between the same two of the small picture
            for tap, weight in enumerate(weights[start:stop].T):
                share = wide[:, first[start] + tap, None] * weight[:, None]
                result[:, start:stop] = share if tap == 0 else result[:, start:stop] + share
        return result


def stripes(top: int, bottom: int, width: int) -> Iterator[slice]:
    """The rows from `top` to `bottom` in stripes of about `STRIPE` pixels."""
    height = max(1, STRIPE // max(width, 1))
    for start in range(top, bottom, height):
        yield slice(start, min(start + height, bottom))


def _resize(channel: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(channel), size, interpolation=interpolation)
