import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from masks.composite import composite, enlarge_edit

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(data=st.data(), shape=SHAPES)
def test_where_the_mask_is_0_the_bytes_are_the_photos(data: st.DataObject, shape: tuple[int, int]) -> None:
    photo = data.draw(arrays(np.uint8, (*shape, 3)))
    mask = data.draw(arrays(np.uint8, shape))
    edited = data.draw(arrays(np.float32, (*shape, 3), elements=st.floats(0, 255, width=32)))
    result = composite(photo, edited, mask)
    assert result.dtype == np.uint8
    assert np.array_equal(result[mask == 0], photo[mask == 0])
    assert np.array_equal(result[mask == 255], np.rint(edited).astype(np.uint8)[mask == 255])
    low, high = np.minimum(photo, edited), np.maximum(photo, edited)
    assert (result >= np.floor(low)).all()
    assert (result <= np.ceil(high)).all()


def test_outside_the_mask_not_even_nan_gets_through() -> None:
    photo = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    edited = np.full((4, 4, 3), np.nan, np.float32)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(composite(photo, edited, np.zeros((4, 4), np.uint8)), photo)


def scene(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo of smooth red with a fine texture, and what a model with 32 pixels a side sees of it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    ramp = 150 + 30 * np.sin(2 * np.pi * x / width) + 20 * np.cos(2 * np.pi * y / height)
    fine = 12.0 * (-1) ** (x + y) + rng.normal(0, 4, (height, width))
    photo = np.stack([ramp + fine, 0.4 * ramp + fine, 0.3 * ramp + fine], -1).clip(0, 255).astype(np.uint8)
    small = cv2.resize(photo, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return photo, small


def high_frequencies(image: np.ndarray) -> np.ndarray:
    image = image.astype(np.float32)
    return image - cv2.GaussianBlur(image, (0, 0), 2)


@pytest.mark.parametrize("shape", [(128, 128), (96, 200), (32, 32), (17, 23)])
def test_no_edit_gives_the_photo_back(shape: tuple[int, int]) -> None:
    photo, small = scene(*shape)
    result = enlarge_edit(photo, small, small, keep_detail=True)
    assert result.shape == photo.shape
    assert np.abs(result - photo).max() < 0.5


def test_a_change_of_colour_keeps_the_photos_texture() -> None:
    photo, small = scene(128, 160)
    turned = small[..., [2, 0, 1]]  # red becomes green
    result = enlarge_edit(photo, small, turned, keep_detail=True)
    means = result.mean((0, 1)) / 255
    np.testing.assert_allclose(means, turned.mean((0, 1)), atol=0.03)
    texture, before = high_frequencies(result).mean(-1), high_frequencies(photo).mean(-1)
    assert np.corrcoef(texture.ravel(), before.ravel())[0, 1] > 0.9
    assert texture.std() > 0.5 * before.std()
    enlarged = enlarge_edit(photo, small, turned, keep_detail=False)
    assert high_frequencies(enlarged).std() < 0.1 * before.std()


def test_new_flat_content_removes_the_old_texture() -> None:
    y, x = np.mgrid[:128, :128]
    stripes = 128 + 80 * np.sin(2 * np.pi * x / 16) + 10.0 * (-1) ** (x + y)
    photo = np.repeat(stripes[..., None], 3, -1).clip(0, 255).astype(np.uint8)
    small = cv2.resize(photo, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    result = enlarge_edit(photo, small, np.full_like(small, 0.5), keep_detail=True)
    assert abs(result.mean() - 127.5) < 2
    assert result.std() < 0.15 * photo.std()


def test_texture_comes_back_where_the_model_smooths_what_it_recolours() -> None:
    photo, small = scene(128, 160)
    flat = np.empty_like(small)
    flat[:] = (0.4, 0.2, 0.7)
    before = high_frequencies(photo).mean(-1)
    gone, back, half = (
        high_frequencies(enlarge_edit(photo, small, flat, keep_detail=True, texture=texture)).mean(-1)
        for texture in (0.0, 1.0, 0.5)
    )
    assert gone.std() < 0.4 * before.std()  # the fit is ridged, so that a little is left where the guide hardly varies
    assert np.corrcoef(back.ravel(), before.ravel())[0, 1] > 0.95
    assert back.std() == pytest.approx(before.std(), rel=0.15)
    assert half.std() == pytest.approx(back.std() / 2, rel=0.15)
    plain = enlarge_edit(photo, small, flat, keep_detail=True)
    brought_back = enlarge_edit(photo, small, flat, keep_detail=True, texture=1.0)
    assert abs(brought_back.mean() - plain.mean()) < 1  # shades, no new colour


@pytest.mark.parametrize("shape", [(128, 128), (32, 32), (17, 23)])
def test_texture_adds_nothing_to_what_was_not_edited(shape: tuple[int, int]) -> None:
    photo, small = scene(*shape)
    assert np.abs(enlarge_edit(photo, small, small, keep_detail=True, texture=1.0) - photo).max() < 0.5


def test_a_dark_edit_gets_dark_shades() -> None:
    photo, small = scene(128, 160)
    dark = np.full_like(small, 0.06)
    plain = enlarge_edit(photo, small, dark, keep_detail=True)
    shaded = enlarge_edit(photo, small, dark, keep_detail=True, texture=1.0)
    assert abs(shaded.mean() - plain.mean()) < 1
    assert high_frequencies(shaded).std() < 0.6 * high_frequencies(photo).std()


def test_a_photo_no_finer_than_the_model_has_no_texture_to_bring_back() -> None:
    photo, small = scene(12, 14)
    turned = np.broadcast_to(np.float32([0.4, 0.2, 0.7]), (32, 32, 3))
    small = cv2.resize(small, (32, 32), interpolation=cv2.INTER_LINEAR)
    without, shaded = (enlarge_edit(photo, small, turned, keep_detail=True, texture=t) for t in (0.0, 1.0))
    np.testing.assert_allclose(shaded, without, atol=1e-3)


@pytest.mark.parametrize("keep_detail", [True, False])
@given(edited=arrays(np.float32, (8, 8, 3), elements=st.floats(0, 1, width=32)))
def test_the_result_stays_in_range(keep_detail: bool, edited: np.ndarray) -> None:
    photo, small = scene(24, 40)
    small = cv2.resize(small, (8, 8), interpolation=cv2.INTER_AREA)
    result = enlarge_edit(photo, small, edited, keep_detail=keep_detail)
    assert result.shape == (24, 40, 3)
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 255
