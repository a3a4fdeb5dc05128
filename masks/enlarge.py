"""Small pictures at a photo's size, a stripe at a time: at 50 megapixels a few float channels are gigabytes."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

STRIPE = 2**18  # pixels that are worked on at once


class Enlargement:
    """What `cv2.resize` makes of `small`, in any rows and columns of it, without the whole.

    Every pixel is computed alike whatever is asked for with it, so that stripes have no seams.
    """

    def __init__(self, small: np.ndarray, size: tuple[int, int], interpolation: int = cv2.INTER_LINEAR) -> None:
        """`small` is `(h, w, C)` float32, `size` the `(width, height)` to come to."""
        width, height = size
        self._wide = np.stack(
            [_resize(channel, (width, len(small)), interpolation) for channel in np.moveaxis(small, -1, 0)], -1
        )
        weights = _resize(np.eye(len(small), dtype=np.float32), (len(small), height), interpolation)
        taps = int((weights != 0).sum(1).max())
        first = np.minimum((weights != 0).argmax(1), len(small) - taps)
        self._taps = first[:, None] + np.arange(taps)
        self._weights = np.take_along_axis(weights, self._taps, 1)

    def part(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """`(h, w, C)` float32."""
        wide, taps, weights = self._wide[:, columns], self._taps[rows], self._weights[rows, :, None, None]
        result = wide[taps[:, 0]] * weights[:, 0]
        for tap in range(1, taps.shape[1]):
            result += wide[taps[:, tap]] * weights[:, tap]
        return result


def stripes(top: int, bottom: int, width: int) -> Iterator[slice]:
    """The rows from `top` to `bottom` in stripes of about `STRIPE` pixels."""
    height = max(1, STRIPE // max(width, 1))
    for start in range(top, bottom, height):
        yield slice(start, min(start + height, bottom))


def _resize(channel: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(channel), size, interpolation=interpolation)
