from __future__ import annotations

import numpy as np
import pytest

from backbones.errors import EditRealError
from studio.web.brush import SIDE, Strokes, fit


def disc(width: int, height: int, x: float, y: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (columns - x * width) ** 2 + (rows - y * height) ** 2 < (0.15 * min(width, height)) ** 2


@pytest.mark.parametrize("size", [(300, 200), (4000, 3000), (200, 1600)])
def test_strokes_come_back_as_masks_of_the_photos_size(size: tuple[int, int]) -> None:
    add, protect = disc(*size, 0.3, 0.3), disc(*size, 0.7, 0.7)
    again = Strokes.of(add, protect, size).masks(size)
    for drawn, read in zip((add, protect), again, strict=True):
        assert read is not None and read.shape == (size[1], size[0])
        assert (drawn & read).sum() / (drawn | read).sum() > 0.97


def test_what_is_protected_is_not_added() -> None:
    size = (100, 80)
    both = disc(*size, 0.5, 0.5)
    add, protect = Strokes.of(both, both, size).masks(size)
    assert add is None and protect is not None


def test_nothing_painted_is_no_mask() -> None:
    assert Strokes().masks((40, 30)) == (None, None)
    assert Strokes.of(None, None, (40, 30)) == Strokes()


@pytest.mark.parametrize(
    "url", ["/etc/passwd", "data:image/png;base64,AAAA", "data:image/svg+xml;base64,PHN2Zz4=", "x" * 9]
)
def test_other_texts_are_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(EditRealError, match="painted strokes"):
        Strokes(url).masks((40, 30))


def test_the_picture_to_paint_on_is_small_and_of_the_photos_shape() -> None:
    assert fit((4000, 3000)) == (SIDE, 750)
    assert fit((300, 200)) == (300, 200)
    assert fit((8000, 2)) == (SIDE, 1)
