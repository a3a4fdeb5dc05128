import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masks import enlarge
from masks.enlarge import Enlargement, stripes

SIDES = st.integers(1, 40)


@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
@given(small=st.tuples(SIDES, SIDES, st.integers(1, 14)), size=st.tuples(SIDES, SIDES))
def test_the_whole_is_what_opencv_makes_of_it(
    interpolation: int, small: tuple[int, int, int], size: tuple[int, int]
) -> None:
    picture = np.random.default_rng(0).random(small, dtype=np.float32)
    found = Enlargement(picture, size, interpolation).part(slice(None))
    expected = np.stack([cv2.resize(picture[..., c], size, interpolation=interpolation) for c in range(small[2])])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(data=st.data(), size=st.tuples(SIDES, SIDES))
def test_a_part_is_cut_out_of_the_whole(data: st.DataObject, size: tuple[int, int]) -> None:
    enlargement = Enlargement(np.random.default_rng(0).random((9, 7, 4), dtype=np.float32), size, cv2.INTER_CUBIC)
    left, right = sorted(data.draw(st.tuples(*[st.integers(0, size[0])] * 2)))
    top, bottom = sorted(data.draw(st.tuples(*[st.integers(0, size[1])] * 2)))
    whole = enlargement.part(slice(None))
    found = enlargement.part(slice(top, bottom), slice(left, right))
    assert np.array_equal(found, whole[:, top:bottom, left:right])


@given(top=st.integers(0, 50), height=st.integers(0, 90), width=st.integers(0, 3000))
def test_stripes_cover_the_rows_once(top: int, height: int, width: int) -> None:
    rows = [row for part in stripes(top, top + height, width) for row in range(part.start, part.stop)]
    assert rows == list(range(top, top + height))


def test_a_stripe_has_a_row_however_wide() -> None:
    assert [(part.start, part.stop) for part in stripes(3, 5, 2 * enlarge.STRIPE)] == [(3, 4), (4, 5)]
