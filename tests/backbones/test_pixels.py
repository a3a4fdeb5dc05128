"""Photo to the model's pixels and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.errors import EditRealError
from backbones.geometry import plan_geometry
from backbones.photo import open_photo
from backbones.pixels import to_image, to_pixels, to_unit, unit_to_image, with_alpha
from tests.backbones.photos import noise, smooth


@pytest.mark.parametrize("size", [(640, 427), (40, 90), (20, 20)])
def test_pixels_have_the_working_size_and_range(size: tuple[int, int]) -> None:
    photo = open_photo(Image.fromarray(noise(*size)))
    geometry = plan_geometry(size, 64, 16)
    pixels = to_pixels(photo, geometry)
    assert pixels.shape == (1, 3, *geometry.working_size)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous()
    assert -1 <= pixels.min() < 0 < pixels.max() <= 1


def test_black_and_white_are_the_ends_of_the_range() -> None:
    for level, value in [(0, -1.0), (255, 1.0)]:
        photo = open_photo(np.full((200, 300), level, np.uint8))
        assert (to_pixels(photo, plan_geometry(photo.size, 64, 16)) == value).all()


def test_pixels_are_those_of_the_box() -> None:
    array = np.zeros((100, 100, 3), np.uint8)
    array[20:60, 30:70] = (255, 0, 255)
    photo = open_photo(array)
    pixels = to_pixels(photo, plan_geometry(photo.size, 32, 8, (30, 20, 70, 60)))
    assert (pixels[:, 0] > 0.7).all()
    pixels = pixels[..., 4:-4, 4:-4]  # the filter reaches over the edges
    assert torch.equal(pixels, torch.tensor([1.0, -1.0, 1.0]).view(1, 3, 1, 1).expand_as(pixels))


def test_downscale_is_antialiased() -> None:
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    photo = open_photo(stripes)
    inner = to_pixels(photo, plan_geometry(photo.size, 64, 16))[..., 4:-4]
    assert inner.abs().max() < 0.05


def test_round_trip_at_the_same_size_is_exact() -> None:
    levels = np.arange(64 * 64 * 3).astype(np.uint8).reshape(64, 64, 3)
    photo = open_photo(np.pad(levels, ((10, 10), (5, 15), (0, 0))))
    geometry = plan_geometry(photo.size, 64, 16, (5, 10, 69, 74))
    np.testing.assert_array_equal(np.asarray(to_image(to_pixels(photo, geometry))), levels)


def test_to_image_rounds_and_clamps() -> None:
    values = torch.tensor([-7.0, -1.0, -1 + 0.9 / 127.5, 0.999, 1.0, 3.0]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    image = to_image(values.to(torch.float64))
    assert image.mode == "RGB"
    assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 1, 255, 255, 255]
    with pytest.raises(EditRealError, match=r"\(2, 3, 4, 4\)"):
        to_image(torch.zeros(2, 3, 4, 4))


def test_pixels_of_another_photos_geometry() -> None:
    with pytest.raises(EditRealError, match="100x100"):
        to_pixels(open_photo(smooth()), plan_geometry((100, 100), 64, 16))


def test_with_alpha() -> None:
    plain = open_photo(smooth())
    edited = Image.new("RGB", plain.size)
    assert with_alpha(edited, plain).mode == "RGB"
    cut = open_photo(noise(channels=4))
    with pytest.raises(EditRealError, match="40x30"):
        with_alpha(Image.new("RGB", (7, 7)), cut)
    edited = Image.new("RGB", cut.size)
    assert with_alpha(edited, cut).getchannel("A") == cut.alpha
    assert edited.mode == "RGB"


def test_unit_pixels_become_the_image_they_came_from() -> None:
    levels = np.arange(256 * 3).astype(np.uint8).reshape(16, 16, 3)
    unit = to_unit(torch.from_numpy(levels).permute(2, 0, 1).float() / 127.5 - 1)
    assert 0 <= unit.min() <= unit.max() <= 1
    assert np.array_equal(np.asarray(unit_to_image(unit)), levels)
