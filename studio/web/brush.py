"""What a visitor paints over a photo: a small picture in two colours, read as two masks of the photo's size."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from backbones.errors import EditRealError

SIDE = 1000  # longest side in pixels of the picture that is painted on
ADD, PROTECT = (224, 49, 127), (28, 126, 214)
_PREFIX = "data:image/png;base64,"
_MOST_BYTES = 4_000_000


def fit(size: tuple[int, int], side: int = SIDE) -> tuple[int, int]:
    """`(width, height)` scaled down, where it must be, so that neither is longer than `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True)
class Strokes:
    """Painted strokes.

    Attributes:
        url: A PNG as a data URL: `ADD` where the edit is to reach, `PROTECT` where it is not, else transparent. Empty
            where nothing is painted.
    """

    url: str = ""

    def masks(self, photo_size: tuple[int, int]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """What is added and what is protected, `(H, W)` bool each at the photo's size, or None where nothing is.

        Raises:
            EditRealError: It is no such picture.
        """
        if not self.url:
            return None, None
        add, protect = _read(self.url)
        return _scaled(add, photo_size), _scaled(protect, photo_size)

    @staticmethod
    def of(add: np.ndarray | None, protect: np.ndarray | None, photo_size: tuple[int, int]) -> Strokes:
        """Strokes that stand for two masks `(H, W)` bool of the photo's size; protection has the last word."""
        width, height = fit(photo_size)
        painted = np.zeros((height, width, 4), np.uint8)
        for mask, color in ((add, ADD), (protect, PROTECT)):
            if mask is not None:
                small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.5
                painted[small] = (*color, 255)
        if not painted.any():
            return Strokes()
        file = io.BytesIO()
        Image.fromarray(painted).save(file, "PNG")
        return Strokes(_PREFIX + base64.b64encode(file.getvalue()).decode())


def _read(url: str) -> tuple[np.ndarray, np.ndarray]:
    """The two masks at the size at which they were painted."""
    expected = "expected painted strokes as a small PNG"
    if not isinstance(url, str) or not url.startswith(_PREFIX) or len(url) > _MOST_BYTES:
        raise EditRealError(f"{expected}, got something else; clear the brush and paint again")
    try:
        with Image.open(io.BytesIO(base64.b64decode(url[len(_PREFIX) :], validate=True)), formats=["PNG"]) as image:
            if max(image.size) > SIDE:
                raise EditRealError(
                    f"{expected}, got {image.size[0]}x{image.size[1]} pixels; clear the brush and paint again"
                )
            pixels = np.asarray(image.convert("RGBA"))
    except EditRealError:
        raise
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EditRealError(f"{expected}, got one that cannot be read; clear the brush and paint again") from error
    painted, reddish = pixels[..., 3] > 127, pixels[..., 0].astype(int) > pixels[..., 2]
    return painted & reddish, painted & ~reddish


def _scaled(mask: np.ndarray, photo_size: tuple[int, int]) -> np.ndarray | None:
    if not mask.any():
        return None
    return cv2.resize(mask.astype(np.float32), photo_size, interpolation=cv2.INTER_LINEAR) >= 0.5
