from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from masks import enlarge
from masks.composite import Draw, composite, enlarge_edit
from masks.refine import soften

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def of_array(picture: np.ndarray) -> Draw:
    return lambda rows, columns: picture[rows, columns]


def enlarged(
    photo: np.ndarray, small: np.ndarray, edited: np.ndarray, mask: np.ndarray | None = None, **options: Any
) -> np.ndarray:
    """The whole of an enlarged edit, under a mask that holds all of the photo where none is given."""
    mask = np.full(photo.shape[:2], 255, np.uint8) if mask is None else mask
    return enlarge_edit(photo, small, edited, mask, **{"keep_detail": True, **options})(slice(None), slice(None))


@given(data=st.data(), shape=SHAPES)
def test_where_the_mask_is_0_the_bytes_are_the_photos(data: st.DataObject, shape: tuple[int, int]) -> None:
    photo = data.draw(arrays(np.uint8, (*shape, 3)))
    mask = data.draw(arrays(np.uint8, shape))
    edited = data.draw(arrays(np.float32, (*shape, 3), elements=st.floats(0, 255, width=32)))
    result = composite(photo, of_array(edited), mask)
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
        assert np.array_equal(composite(photo, of_array(edited), np.zeros((4, 4), np.uint8)), photo)


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
    result = enlarged(photo, small, small)
    assert result.shape == photo.shape
    assert np.abs(result - photo).max() < 0.5


def test_a_change_of_colour_keeps_the_photos_texture() -> None:
    photo, small = scene(128, 160)
    turned = small[..., [2, 0, 1]]  # red becomes green
    result = enlarged(photo, small, turned)
    means = result.mean((0, 1)) / 255
    np.testing.assert_allclose(means, turned.mean((0, 1)), atol=0.03)
    texture, before = high_frequencies(result).mean(-1), high_frequencies(photo).mean(-1)
    assert np.corrcoef(texture.ravel(), before.ravel())[0, 1] > 0.9
    assert texture.std() > 0.5 * before.std()
    flat = enlarged(photo, small, turned, keep_detail=False)
    assert high_frequencies(flat).std() < 0.1 * before.std()


def test_new_flat_content_removes_the_old_texture() -> None:
    y, x = np.mgrid[:128, :128]
    stripes = 128 + 80 * np.sin(2 * np.pi * x / 16) + 10.0 * (-1) ** (x + y)
    photo = np.repeat(stripes[..., None], 3, -1).clip(0, 255).astype(np.uint8)
    small = cv2.resize(photo, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    result = enlarged(photo, small, np.full_like(small, 0.5))
    assert abs(result.mean() - 127.5) < 2
    assert result.std() < 0.15 * photo.std()


def test_texture_comes_back_where_the_model_smooths_what_it_recolours() -> None:
    photo, small = scene(128, 160)
    flat = np.empty_like(small)
    flat[:] = (0.4, 0.2, 0.7)
    before = high_frequencies(photo).mean(-1)
    gone, back, half = (
        high_frequencies(enlarged(photo, small, flat, texture=texture)).mean(-1) for texture in (0.0, 1.0, 0.5)
    )
    assert gone.std() < 0.55 * before.std()  # the fit is ridged, so that a little is left where the guide hardly varies
    assert np.corrcoef(back.ravel(), before.ravel())[0, 1] > 0.95
    assert back.std() == pytest.approx(before.std(), rel=0.15)
    assert half.std() == pytest.approx(back.std() / 2, rel=0.15)
    plain = enlarged(photo, small, flat)
    brought_back = enlarged(photo, small, flat, texture=1.0)
    assert abs(brought_back.mean() - plain.mean()) < 1  # shades, no new colour


@pytest.mark.parametrize("shape", [(128, 128), (32, 32), (17, 23)])
def test_texture_adds_nothing_to_what_was_not_edited(shape: tuple[int, int]) -> None:
    photo, small = scene(*shape)
    assert np.abs(enlarged(photo, small, small, texture=1.0) - photo).max() < 0.5


def test_a_dark_edit_gets_dark_shades() -> None:
    photo, small = scene(128, 160)
    dark = np.full_like(small, 0.06)
    plain = enlarged(photo, small, dark)
    shaded = enlarged(photo, small, dark, texture=1.0)
    assert abs(shaded.mean() - plain.mean()) < 1
    assert high_frequencies(shaded).std() < 0.75 * high_frequencies(photo).std()


def test_a_photo_no_finer_than_the_model_has_no_texture_to_bring_back() -> None:
    photo, small = scene(12, 14)
    turned = np.broadcast_to(np.float32([0.4, 0.2, 0.7]), (32, 32, 3))
    small = cv2.resize(small, (32, 32), interpolation=cv2.INTER_LINEAR)
    half, whole = (enlarged(photo, small, turned, texture=t) for t in (1 - 1e-6, 1.0))
    without = enlarged(photo, small, turned, texture=0.0)
    assert whole.std((0, 1)).max() < without.std((0, 1)).max() + 3
    np.testing.assert_allclose(half, whole, atol=1e-2)


@pytest.mark.parametrize("keep_detail", [True, False])
@given(edited=arrays(np.float32, (8, 8, 3), elements=st.floats(0, 1, width=32)))
def test_the_result_stays_in_range(keep_detail: bool, edited: np.ndarray) -> None:
    photo, small = scene(24, 40)
    small = cv2.resize(small, (8, 8), interpolation=cv2.INTER_AREA)
    result = enlarged(photo, small, edited, keep_detail=keep_detail)
    assert result.shape == (24, 40, 3)
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 255


def disc(side: int) -> np.ndarray:
    """`(side, side)` float, 1 in a disc's pixels, mixed at its rim."""
    y, x = (np.mgrid[: 8 * side, : 8 * side] + 0.5) / 8
    inside = np.hypot(x - 0.53 * side, y - 0.48 * side) < 0.3 * side
    return cv2.resize(inside.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)[..., None]


def disc_photo(colour: tuple[float, float, float], side: int = 240) -> np.ndarray:
    """A disc with folds and grain on a green ground, `(side, side, 3)` uint8."""
    rng, share = np.random.default_rng(0), disc(side)
    folds = 1 + 0.15 * np.sin(np.arange(side) / 9)[None, :, None] + 0.03 * rng.standard_normal((side, side, 1))
    return np.rint((share * np.array(colour) * folds + (1 - share) * (40, 110, 60)).clip(0, 255)).astype(np.uint8)


def shrunk(photo: np.ndarray) -> np.ndarray:
    return cv2.resize(photo, (60, 60), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def recoloured(before: np.ndarray, edited: np.ndarray, mask: np.ndarray) -> np.ndarray:
    shares = soften(mask, before, 0.01)
    draw = enlarge_edit(before, shrunk(before), edited, shares, keep_detail=True, texture=1.0)
    return composite(before, draw, shares)


@pytest.mark.parametrize("colour", [(215, 210, 205), (40, 60, 190)])
def test_a_rim_takes_the_new_colour_as_far_as_it_is_the_things(colour: tuple[float, float, float]) -> None:
    before, after = disc_photo((190, 60, 40)), disc_photo(colour)
    share = disc(240)[..., 0]
    result = recoloured(before, shrunk(after), share > 0.5)
    rim = (cv2.dilate(share, np.ones((5, 5))) > 0) & (cv2.erode(share, np.ones((5, 5))) < 1)
    error = np.abs(result.astype(float) - after).mean(-1)
    unedited = np.abs(before.astype(float) - after).mean(-1)
    assert error[share == 1].mean() < 4
    assert error[rim].mean() < 0.2 * unedited[rim].mean()
    over = result.astype(float).max(-1)[rim] - max(*colour, 110) * 1.3
    assert over.max() < 10  # no bright rim


def test_blotches_of_the_drawing_are_not_in_a_change_of_colour() -> None:
    before, after = disc_photo((190, 60, 40)), disc_photo((215, 210, 205))
    noise = np.random.default_rng(1).standard_normal((60, 60, 3)).astype(np.float32)
    blotched = (shrunk(after) + 0.25 * cv2.GaussianBlur(noise, (0, 0), 1.5)).clip(0, 1)
    core = cv2.erode(disc(240)[..., 0], np.ones((9, 9))) == 1
    result = recoloured(before, blotched, disc(240)[..., 0] > 0.5)
    large = cv2.resize(blotched, (240, 240), interpolation=cv2.INTER_CUBIC) * 255
    drawn, kept = (np.abs(picture - after.astype(float))[core].mean() for picture in (large, result))
    assert kept < 0.6 * drawn


def test_a_part_that_the_model_forgot_takes_the_colour_of_the_rest() -> None:
    before, after = disc_photo((190, 60, 40)), disc_photo((60, 150, 70))
    partly = shrunk(after)
    partly[28:31, 38:41] = shrunk(before)[28:31, 38:41]
    result = recoloured(before, partly, disc(240)[..., 0] > 0.5)
    forgotten = np.s_[112:124, 152:164]
    left, there = (np.abs(picture[forgotten].astype(float) - after[forgotten]).mean() for picture in (result, before))
    assert left < 0.35 * there


@pytest.mark.parametrize("stripe", [1, 700, 10**6])
@pytest.mark.parametrize("texture", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(123, 97), (40, 41)])
def test_stripes_have_no_seams(
    stripe: int, texture: float, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, small = scene(*shape)
    mask = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    mask[:7], mask[:, -5:] = 0, 0
    draw = enlarge_edit(photo, small, small[..., [2, 0, 1]], mask, keep_detail=True, texture=texture)
    whole = composite(photo, of_array(draw(slice(None), slice(None))), mask)
    monkeypatch.setattr(enlarge, "STRIPE", stripe)
    assert np.array_equal(composite(photo, draw, mask), whole)
