"""Photos come in upright and go out with what their files said of them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from backbones.photo import open_photo
from backbones.pixels import with_alpha
from backbones.saving import save_photo
from tests.backbones.photos import INVERSES, LOSSLESS, SUFFIXES, camera_exif, noise, pixels_of, smooth, srgb_profile


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_orientation_gives_the_same_upright_pixels(orientation: int, suffix: str, tmp_path: Path) -> None:
    upright = smooth()
    lying = upright.transpose(INVERSES[orientation]) if orientation > 1 else upright
    path = tmp_path / f"photo{suffix}"
    options = {"quality": 100, "lossless": True} if suffix == ".webp" else {"quality": 100}
    lying.save(path, exif=camera_exif(orientation).tobytes(), **({} if suffix in (".png", ".tif") else options))
    photo = open_photo(path)
    assert photo.size == upright.size
    difference = np.abs(pixels_of(photo).astype(int) - np.asarray(upright))
    assert difference.max() <= (0 if suffix in LOSSLESS else 12)
    assert photo.exif is not None
    exif = Image.Exif()
    exif.load(photo.exif)
    assert exif[ExifTags.Base.Orientation] == 1
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] == 40


def test_alpha_turns_with_the_photo(tmp_path: Path) -> None:
    image = Image.fromarray(noise(channels=4))
    image.transpose(INVERSES[6]).save(tmp_path / "turned.png", exif=camera_exif(6).tobytes())
    photo = open_photo(tmp_path / "turned.png")
    assert photo.alpha is not None
    np.testing.assert_array_equal(np.asarray(with_alpha(photo.image, photo)), np.asarray(image))


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_exif_and_profile_survive(source: str, target: str, tmp_path: Path) -> None:
    lying = smooth().transpose(INVERSES[6])
    lying.save(tmp_path / f"in{source}", exif=camera_exif(6).tobytes(), icc_profile=srgb_profile())
    photo = open_photo(tmp_path / f"in{source}")
    save_photo(photo.image, tmp_path / f"out{target}", photo)
    with Image.open(tmp_path / f"out{target}") as saved:
        saved.load()
        assert saved.size == (40, 32)
        assert saved.info["icc_profile"] == srgb_profile()
        exif = saved.getexif()
        assert exif.get(ExifTags.Base.Orientation, 1) == 1
        assert exif[ExifTags.Base.Make] == "Maker"
        assert exif[ExifTags.Base.Artist] == "Artist"
        details = exif.get_ifd(ExifTags.IFD.Exif)
        assert details[ExifTags.Base.DateTimeOriginal] == "2020:01:02 03:04:05"
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (47.0, 30.0, 0.0)
    again = open_photo(tmp_path / f"out{target}")
    if target in LOSSLESS:
        assert again.pixel_hash == photo.pixel_hash
    assert again.size == photo.size


def test_embedded_thumbnail_is_left_out(tmp_path: Path) -> None:
    tail = b"THUMBNAIL OF THE UNEDITED PHOTO"
    body = camera_exif().tobytes()
    # A second directory, linked from the first, that points at the thumbnail's bytes.
    start = 6
    order = "<" if body[start : start + 2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "L", body, start + 4)
    (count,) = struct.unpack_from(order + "H", body, start + first)
    link = start + first + 2 + 12 * count
    second = len(body) - start
    entries = struct.pack(order + "HHLL", 513, 4, 1, second + 30) + struct.pack(order + "HHLL", 514, 4, 1, len(tail))
    exif = body[:link] + struct.pack(order + "L", second) + body[link + 4 :]
    exif += struct.pack(order + "H", 2) + entries + struct.pack(order + "L", 0) + tail
    smooth().save(tmp_path / "photo.jpg", exif=exif)
    with Image.open(tmp_path / "photo.jpg") as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)[514] == len(tail)
    photo = open_photo(tmp_path / "photo.jpg")
    assert photo.exif is not None
    assert b"Maker" in photo.exif
    assert tail not in photo.exif
    save_photo(photo.image, tmp_path / "out.jpg", photo)
    assert tail not in (tmp_path / "out.jpg").read_bytes()


def test_damaged_exif_is_said_and_left_out(tmp_path: Path) -> None:
    smooth().save(tmp_path / "photo.jpg", exif=b"Exif\x00\x00nonsense of no order at all")
    with pytest.warns(UserWarning, match="EXIF"):
        photo = open_photo(tmp_path / "photo.jpg")
    assert photo.exif is None
    assert photo.size == (40, 32)
