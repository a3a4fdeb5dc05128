"""What the model sees of a photo."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.errors import EditRealError
from backbones.geometry import MAX_ASPECT, MIN_SIDE, Geometry, plan_geometry

models = st.sampled_from([(64, 8), (64, 16), (128, 16), (512, 64), (512, 8)])


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    short = draw(st.integers(MIN_SIDE, 3000))
    long = draw(st.integers(short, MAX_ASPECT * short))
    return (short, long) if draw(st.booleans()) else (long, short)


@given(size=sizes(), model=models)
def test_geometry_sees_the_whole_photo_nearly_undistorted(size: tuple[int, int], model: tuple[int, int]) -> None:
    model_size, multiple = model
    geometry = plan_geometry(size, model_size, multiple)
    height, width = geometry.working_size
    assert height % multiple == width % multiple == 0
    assert 0.5 <= height * width / model_size**2 <= 2
    assert geometry.box == (0, 0, *size)
    assert abs(math.log(width / height * size[1] / size[0])) <= math.log(1.2)


@given(side=st.integers(MIN_SIDE, 5000), model=models)
def test_square_photo_gives_the_models_square(side: int, model: tuple[int, int]) -> None:
    geometry = plan_geometry((side, side), *model)
    assert geometry == Geometry((side, side), (0, 0, side, side), (model[0], model[0]))


def test_common_photo_is_hardly_stretched() -> None:
    assert plan_geometry((640, 427), 64, 16).working_size == (64, 96)
    assert plan_geometry((640, 480), 512, 64).working_size == (448, 576)


@given(data=st.data())
def test_region_is_the_box(data: st.DataObject) -> None:
    width, height = data.draw(sizes())
    inner = data.draw(sizes().filter(lambda size: size[0] <= width and size[1] <= height))
    left = data.draw(st.integers(0, width - inner[0]))
    top = data.draw(st.integers(0, height - inner[1]))
    geometry = plan_geometry((width, height), 64, 16, (left, top, left + inner[0], top + inner[1]))
    assert geometry.photo_size == (width, height)
    assert geometry.working_size == plan_geometry(inner, 64, 16).working_size
    assert geometry.box == (left, top, left + inner[0], top + inner[1])


def test_region_rescues_a_panorama() -> None:
    with pytest.raises(EditRealError, match="pass a region"):
        plan_geometry((1000, 200), 64, 16)
    assert plan_geometry((1000, 200), 64, 16, (400, 0, 600, 200)).box == (400, 0, 600, 200)


@pytest.mark.parametrize(
    "region",
    [
        (-1, 0, 50, 50),
        (0, 0, 101, 50),
        (0, 0, 50, 81),
        (50, 0, 50, 50),
        (60, 0, 20, 50),
        (0, 0, 50),
        (0.0, 0.0, 50.0, 50.0),
        7,
    ],
)
def test_bad_regions(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(EditRealError, match="region"):
        plan_geometry((100, 80), 64, 16, region)


def test_a_region_beyond_the_photo_is_told_from_one_that_is_upside_down() -> None:
    for region, fault in [((0, 0, 101, 50), "beyond the photo"), ((60, 0, 20, 50), "left must be below right")]:
        with pytest.raises(EditRealError, match=fault):
            plan_geometry((100, 80), 64, 16, region)


def test_too_small_or_too_thin() -> None:
    with pytest.raises(EditRealError, match="15x40"):
        plan_geometry((15, 40), 64, 16)
    with pytest.raises(EditRealError, match="10x20"):
        plan_geometry((100, 80), 64, 16, (0, 0, 10, 20))
    with pytest.raises(EditRealError, match="squarer"):
        plan_geometry((1000, 80), 64, 16, (0, 0, 900, 80))
    assert plan_geometry((400, 100), 64, 16).working_size == (32, 128)
    with pytest.raises(EditRealError, match="multiple of 16"):
        plan_geometry((100, 80), 60, 16)


@given(data=st.data())
def test_crop_and_paste_are_inverse(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(16, 40)), data.draw(st.integers(16, 40))
    left, top = data.draw(st.integers(0, width - 16)), data.draw(st.integers(0, height - 16))
    right, bottom = data.draw(st.integers(left + 16, width)), data.draw(st.integers(top + 16, height))
    channels = data.draw(st.sampled_from([(), (3,)]))
    geometry = plan_geometry((width, height), 64, 16, (left, top, right, bottom))
    whole = np.random.default_rng(0).integers(0, 256, (height, width, *channels)).astype(np.uint8)
    part = geometry.crop(whole)
    assert part.shape == (bottom - top, right - left, *channels)
    assert np.array_equal(geometry.paste(part, whole), whole)
    pasted = geometry.paste(np.full_like(part, 7), whole)
    assert (geometry.crop(pasted) == 7).all()
    outside = geometry.paste(np.zeros(part.shape[:2], bool), np.ones((height, width), bool))
    assert np.array_equal(pasted[outside], whole[outside])
    assert outside.sum() == height * width - part.shape[0] * part.shape[1]


def test_crop_of_an_array_of_another_size() -> None:
    geometry = plan_geometry((40, 32), 64, 16)
    with pytest.raises(EditRealError, match=r"\(32, 40, \.\.\.\), got \(40, 32\)"):
        geometry.crop(np.zeros((40, 32)))
    with pytest.raises(EditRealError, match="resize"):
        geometry.paste(np.zeros((32, 40)), np.zeros((40, 32)))


def test_a_region_is_not_the_whole() -> None:
    assert plan_geometry((80, 60), 64, 8).is_whole
    assert plan_geometry((80, 60), 64, 8, (0, 0, 80, 60)).is_whole
    assert not plan_geometry((80, 60), 64, 8, (0, 0, 80, 59)).is_whole
