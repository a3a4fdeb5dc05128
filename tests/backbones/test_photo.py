"""Photos of every kind come in upright and go out whole."""

from __future__ import annotations

import functools
import hashlib
import io
import math
import os
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from backbones.errors import EditRealError
from backbones.photo import (
    MAX_ASPECT,
    MIN_SIDE,
    Geometry,
    Photo,
    open_photo,
    plan_geometry,
    save_photo,
    to_image,
    to_pixels,
    with_alpha,
)

SUFFIXES = (".jpg", ".png", ".webp", ".tif")
LOSSLESS = (".png", ".webp", ".tif")


def noise(width: int = 40, height: int = 30, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(np.uint8)


def smooth(width: int = 40, height: int = 32) -> Image.Image:
    """A colour gradient that differs in every corner and survives JPEG."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x / 2 - y / 2], axis=-1).astype(np.uint8))


@functools.cache
def srgb_profile() -> bytes:
    """One profile for every caller: each that is created carries the second it was created in."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def camera_exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Artist] = "Artist"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.DateTimeOriginal: "2020:01:02 03:04:05",
        ExifTags.Base.ExifImageWidth: 32 if orientation > 4 else 40,  # of the pixels as they are stored
        ExifTags.Base.ExifImageHeight: 40 if orientation > 4 else 32,
    }
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (47.0, 30.0, 0.0)}
    return exif


def pixels_of(photo: Photo) -> np.ndarray:
    assert photo.image.mode == "RGB"
    return np.asarray(photo.image)


# Colour modes


@pytest.mark.parametrize("mode", ["RGB", "RGBX", "L", "1", "P", "CMYK", "YCbCr", "LAB", "HSV"])
def test_opaque_modes_are_rgb_of_the_same_colours(mode: str) -> None:
    image = Image.new("RGB", (20, 20), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 10, 20))
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    else:
        image = image.convert(mode)
    photo = open_photo(image)
    assert photo.alpha is None
    pixels = pixels_of(photo).astype(int)
    assert pixels[:, :10].max() <= 2
    assert pixels[:, 10:].min() >= 253


@pytest.mark.parametrize("mode", ["RGBA", "LA", "La", "PA", "RGBa"])
def test_transparent_modes_keep_their_alpha(mode: str) -> None:
    grey = Image.fromarray(noise(channels=1)[..., 0])
    alpha = Image.new("L", grey.size, 255)
    alpha.paste(0, (0, 0, 10, 30))
    if mode == "PA":
        image = Image.merge("PA", (grey, alpha))
        image.putpalette([level for level in range(256) for _ in "RGB"])
    elif mode in ("LA", "La"):
        image = Image.merge("LA", (grey, alpha)).convert(mode)
    else:
        image = Image.merge("RGBA", (grey, grey, grey, alpha)).convert(mode)
    photo = open_photo(image)
    assert photo.alpha is not None
    np.testing.assert_array_equal(np.asarray(photo.alpha), np.asarray(alpha))
    np.testing.assert_array_equal(pixels_of(photo)[:, 10:, 1], np.asarray(grey)[:, 10:])


@pytest.mark.parametrize("mode", ["P", "L", "1", "RGB", "I;16"])
def test_png_colour_key_becomes_alpha(mode: str, tmp_path: Path) -> None:
    values = np.zeros((20, 20), np.uint8)
    values[:, 10:] = 255
    image, key = Image.fromarray(values).convert("L" if mode == "I;16" else mode), 0
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16) * 257)
        image.info["transparency"] = 0
    if mode == "P":
        key = image.getpixel((0, 0))
    path = tmp_path / "key.png"
    if mode != "I;16":  # not every Pillow writes it
        image.save(path, transparency=(0, 0, 0) if mode == "RGB" else key)
    photo = open_photo(image if mode == "I;16" else path)
    assert photo.alpha is not None
    np.testing.assert_array_equal(np.asarray(photo.alpha), values)
    np.testing.assert_array_equal(pixels_of(photo)[..., 0], values)


def test_palette_colours(tmp_path: Path) -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "palette.png")
    assert (pixels_of(open_photo(tmp_path / "palette.png")) == (200, 100, 50)).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_sixteen_bit_grey_is_scaled_and_rounded(mode: str) -> None:
    values = np.array([[0, 128, 129, 257, 32896, 65407, 65535]], np.uint16)
    image = Image.fromarray(values)
    if mode == "I":
        image = Image.fromarray(values.astype(np.int32))
    elif mode == "I;16B":
        image = Image.frombytes("I;16B", image.size, values.astype(">u2").tobytes())
    assert image.mode == mode
    assert pixels_of(open_photo(image))[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255, 255]


def test_sixteen_bit_grey_file(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20), 32896, np.uint16)).save(tmp_path / "deep.png")
    assert (pixels_of(open_photo(tmp_path / "deep.png")) == 128).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_colour_file(suffix: str, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    colour = np.array([200, 100, 50], np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / f"deep{suffix}"), np.broadcast_to(colour[::-1], (20, 20, 3)).copy())
    assert (pixels_of(open_photo(tmp_path / f"deep{suffix}")) == (200, 100, 50)).all()


def test_float_grey_image_is_zero_to_one() -> None:
    values = np.array([[0.0, 0.25, 1.0]], np.float32)
    assert pixels_of(open_photo(Image.fromarray(values)))[0, :, 0].tolist() == [0, 64, 255]
    with pytest.raises(EditRealError, match=r"\[0, 1\]"):
        open_photo(Image.fromarray(values * 255))


def test_wide_integer_grey_is_refused() -> None:
    with pytest.raises(EditRealError, match=r"0\.\.65535"):
        open_photo(Image.fromarray(np.full((20, 20), 70000, np.int32)))


def test_cmyk_goes_through_a_working_profile_only(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("CMYK", (20, 20), (255, 0, 0, 0))
    image.info["icc_profile"] = b"not a profile"
    photo = open_photo(image)
    assert (pixels_of(photo) == (0, 255, 255)).all()
    assert photo.icc_profile is None

    # No CMYK profile is free to ship, so what is asked of the colour engine is checked instead.
    asked = {}

    def convert(image: Image.Image, source: object, target: object, outputMode: str) -> Image.Image:  # noqa: N803
        asked.update(mode=image.mode, source=source, output=outputMode)
        return Image.new("RGB", image.size, (1, 2, 3))

    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    image.info["icc_profile"] = srgb_profile()
    photo = open_photo(image)
    assert (pixels_of(photo) == (1, 2, 3)).all()
    assert (asked["mode"], asked["output"]) == ("CMYK", "RGB")
    assert photo.icc_profile is None


# Arrays


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 1), (20, 24, 3), (20, 24, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_arrays(shape: tuple[int, ...], dtype: type) -> None:
    levels = np.random.default_rng(0).integers(0, 256, shape)
    scaled = levels / 255 if np.issubdtype(dtype, np.floating) else levels * (257 if dtype is np.uint16 else 1)
    array = scaled.astype(dtype)
    before = array.copy()
    photo = open_photo(array)
    assert photo.size == (24, 20)
    expected = levels.reshape(20, 24, -1)
    np.testing.assert_array_equal(pixels_of(photo), np.broadcast_to(expected[..., :3], (20, 24, 3)))
    assert (photo.alpha is not None) == (shape[-1] == 4)
    if photo.alpha is not None:
        np.testing.assert_array_equal(np.asarray(photo.alpha), expected[..., 3])
    np.testing.assert_array_equal(array, before)
    array[:] = 0
    np.testing.assert_array_equal(pixels_of(photo)[..., 0], expected[..., 0])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((20, 24, 2), np.uint8), r"\(20, 24, 2\)"),
        (np.zeros((1, 3, 20, 24), np.uint8), r"\(1, 3, 20, 24\)"),
        (np.zeros(20, np.uint8), r"\(20,\)"),
        (np.zeros((0, 24, 3), np.uint8), "24x0"),
        (np.zeros((20, 24), np.int64), "int64"),
        (np.zeros((20, 24), bool), "bool"),
        (np.full((20, 24), 1.5), r"\[0, 1\]"),
        (np.full((20, 24), -0.5), r"\[0, 1\]"),
        (np.full((20, 24), np.nan), r"\[0, 1\]"),
    ],
)
def test_bad_arrays(array: np.ndarray, message: str) -> None:
    with pytest.raises(EditRealError, match=message):
        open_photo(array)


# Orientation, EXIF and profile


INVERSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


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


def test_only_a_profile_of_rgb_is_kept() -> None:
    image = smooth()
    image.info["icc_profile"] = srgb_profile()
    assert open_photo(image).icc_profile == srgb_profile()
    grey = bytearray(srgb_profile())
    grey[16:20] = b"GRAY"
    image.info["icc_profile"] = bytes(grey)
    assert open_photo(image).icc_profile is None


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


def test_a_photo_without_exif_gets_none(tmp_path: Path) -> None:
    smooth().save(tmp_path / "plain.jpg")
    photo = open_photo(tmp_path / "plain.jpg")
    assert photo.exif is None
    assert photo.icc_profile is None
    assert photo.format == "JPEG"
    assert photo.path == tmp_path / "plain.jpg"


def test_damaged_exif_is_said_and_left_out(tmp_path: Path) -> None:
    smooth().save(tmp_path / "photo.jpg", exif=b"Exif\x00\x00nonsense of no order at all")
    with pytest.warns(UserWarning, match="EXIF"):
        photo = open_photo(tmp_path / "photo.jpg")
    assert photo.exif is None
    assert photo.size == (40, 32)


# What cannot be opened


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 12_000, 30_000])
def test_huge_photo_is_refused_before_it_is_decoded(side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    limit = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image.Image, "copy", lambda self: pytest.fail("decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(EditRealError, match="at most 50000000 pixels"):
            open_photo(tmp_path / "bomb.png")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_limit_is_the_callers(tmp_path: Path) -> None:
    smooth().save(tmp_path / "photo.png")
    for source in (tmp_path / "photo.png", smooth(), np.asarray(smooth())):
        with pytest.raises(EditRealError, match="40x32"):
            open_photo(source, max_pixels=40 * 32 - 1)
        assert open_photo(source, max_pixels=40 * 32).size == (40, 32)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.95])
def test_truncated_files(suffix: str, share: float, tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(noise(100, 100)).save(whole, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:]))
    data = whole.getvalue()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(EditRealError, match="damaged"):
            open_photo(path)


def test_what_is_no_photo(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("These are words, whatever the name says.")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n")
    for name, message in [
        ("text.jpg", "none of the formats"),
        ("drawing.eps", "none of the formats"),
        ("empty.jpg", "empty"),
        ("missing.jpg", "no such file"),
        (".", "a folder"),
        ("x" * 300, "check the path"),
    ]:
        with pytest.raises(EditRealError, match=message):
            open_photo(tmp_path / name)
        with pytest.raises(EditRealError, match=message):
            open_photo(str(tmp_path / name))
    with pytest.raises(EditRealError, match="bytes"):
        open_photo(b"photo.jpg")  # type: ignore[arg-type]
    with pytest.raises(EditRealError, match="0x20"):
        open_photo(Image.new("RGB", (0, 20)))


def test_heic_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "photo.heic").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
    with pytest.raises(EditRealError, match="pip install pillow-heif"):
        open_photo(tmp_path / "photo.heic")
    photo = open_photo(smooth())
    with pytest.raises(EditRealError, match="pip install pillow-heif"):
        save_photo(photo.image, tmp_path / "out.heic", photo)


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_with_its_reader(orientation: int, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    lying = smooth().transpose(INVERSES[6]) if orientation == 6 else smooth()
    heif.from_pillow(lying).save(tmp_path / "in.heic", quality=95, exif=camera_exif(orientation).tobytes())
    photo = open_photo(tmp_path / "in.heic")
    save_photo(photo.image, tmp_path / "out.heic", photo)
    for name in ("in.heic", "out.heic"):
        photo = open_photo(tmp_path / name)
        assert photo.size == (40, 32)
        assert photo.exif is not None
        assert b"Maker" in photo.exif
        assert np.abs(pixels_of(photo).astype(int) - np.asarray(smooth())).mean() < 4


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for suffix in (".gif", ".png", ".tif", ".webp"):
        frames[0].save(tmp_path / f"film{suffix}", save_all=True, append_images=frames[1:])
        red, _, blue = pixels_of(open_photo(tmp_path / f"film{suffix}"))[0, 0]
        assert red > 250
        assert blue < 5


def test_source_is_untouched(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    smooth().save(path, exif=camera_exif(6).tobytes())
    before, stamp = path.read_bytes(), path.stat().st_mtime_ns
    photo = open_photo(path)
    photo.image.putpixel((0, 0), (1, 2, 3))
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == stamp
    assert list(tmp_path.iterdir()) == [path]

    with Image.open(path) as image:
        pixels, exif, info = np.array(image), dict(image.getexif()), dict(image.info)
        photo = open_photo(image)
        assert photo.path == path
        assert photo.size == (32, 40)
        photo.image.putpixel((0, 0), (1, 2, 3))
        assert image.size == (40, 32)
        np.testing.assert_array_equal(np.array(image), pixels)
        assert dict(image.getexif()) == exif
        assert image.info == info

    upright = smooth()
    open_photo(upright).image.putpixel((0, 0), (1, 2, 3))
    np.testing.assert_array_equal(np.asarray(upright), np.asarray(smooth()))


def test_pixel_hash_tells_size_and_pixels() -> None:
    photo = open_photo(smooth())
    assert photo.pixel_hash == open_photo(np.asarray(smooth())).pixel_hash
    assert photo.pixel_hash == hashlib.sha256(b"40x32:" + smooth().tobytes()).hexdigest()
    other = smooth()
    other.putpixel((5, 5), (0, 0, 0))
    assert photo.pixel_hash != open_photo(other).pixel_hash
    assert open_photo(np.zeros((16, 32), np.uint8)).pixel_hash != open_photo(np.zeros((32, 16), np.uint8)).pixel_hash


# Geometry


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


# Pixels


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


# Saving


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_keep_every_pixel(suffix: str, tmp_path: Path) -> None:
    array = noise(channels=4)
    array[:10, :, 3] = 0  # the colours below transparent pixels too
    photo = open_photo(array)
    save_photo(with_alpha(photo.image, photo), tmp_path / f"out{suffix}", photo)
    again = open_photo(tmp_path / f"out{suffix}")
    assert again.pixel_hash == photo.pixel_hash
    assert again.alpha == photo.alpha


def test_jpeg_is_close_and_has_full_colour(tmp_path: Path) -> None:
    photo = open_photo(smooth())
    save_photo(photo.image, tmp_path / "out.JPEG", photo)
    again = open_photo(tmp_path / "out.JPEG")
    assert again.format == "JPEG"
    assert np.abs(pixels_of(again).astype(int) - pixels_of(photo)).mean() < 2
    with Image.open(tmp_path / "out.JPEG") as saved:
        assert [component[1:3] for component in saved.layer] == [(1, 1)] * 3


def test_transparency_goes_on_white_in_jpeg(tmp_path: Path) -> None:
    array = np.zeros((32, 32, 4), np.uint8)
    array[:, 16:, 3] = 255
    photo = open_photo(array)
    image = with_alpha(photo.image, photo)
    with pytest.warns(UserWarning, match="white"):
        save_photo(image, tmp_path / "out.jpg", photo)
    pixels = pixels_of(open_photo(tmp_path / "out.jpg"))
    assert pixels[:, :16].min() > 250
    assert pixels[:, 16:].max() < 5
    assert image.mode == "RGBA"

    array[..., 3] = 255
    opaque = open_photo(array)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_photo(with_alpha(opaque.image, opaque), tmp_path / "opaque.jpg", opaque)


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


def test_nothing_of_the_images_own_info_is_written(tmp_path: Path) -> None:
    photo = open_photo(smooth())
    image = photo.image.copy()
    image.info = {"icc_profile": srgb_profile(), "dpi": (300, 300)}
    save_photo(image, tmp_path / "out.png", photo)
    with Image.open(tmp_path / "out.png") as saved:
        assert saved.info == {}
    assert set(image.info) == {"icc_profile", "dpi"}


def test_existing_files_are_safe(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    smooth().save(source)
    photo = open_photo(source)
    black = Image.new("RGB", photo.size)
    (tmp_path / "other.png").write_bytes(b"kept")
    os.link(source, tmp_path / "hard.png")
    (tmp_path / "soft.png").symlink_to(source)
    before = source.read_bytes()
    for name, message in [
        ("photo.png", "source photo itself"),
        ("hard.png", "source photo itself"),
        ("soft.png", "source photo itself"),
        ("other.png", "exists already"),
    ]:
        with pytest.raises(EditRealError, match=message):
            save_photo(black, tmp_path / name, photo)
    assert source.read_bytes() == before
    assert (tmp_path / "other.png").read_bytes() == b"kept"
    for name in ("other.png", "photo.png"):
        save_photo(black, tmp_path / name, photo, overwrite=True)
        assert not pixels_of(open_photo(tmp_path / name)).any()


def test_bad_targets(tmp_path: Path) -> None:
    photo = open_photo(smooth())
    (tmp_path / "folder.png").mkdir()
    for name, message in [
        ("out.xyz", r"\.png"),
        ("out", r"\.png"),
        ("missing/out.png", "existing folder"),
        ("folder.png", "is a folder"),
    ]:
        with pytest.raises(EditRealError, match=message):
            save_photo(photo.image, tmp_path / name, photo, overwrite=True)
    with pytest.raises(EditRealError, match="mode L"):
        save_photo(photo.image.convert("L"), tmp_path / "out.png", photo)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_failed_save_leaves_nothing_behind(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = open_photo(smooth())
    (tmp_path / "existing.png").write_bytes(b"kept")

    def fail(self: Image.Image, file: io.BufferedWriter, **_: object) -> None:
        file.write(b"half a file")
        file.flush()
        raise failure

    monkeypatch.setattr(Image.Image, "save", fail)
    expected = EditRealError if isinstance(failure, OSError) else KeyboardInterrupt
    for name in ("existing.png", "new.png"):
        with pytest.raises(expected):
            save_photo(photo.image, tmp_path / name, photo, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["existing.png"]
    assert (tmp_path / "existing.png").read_bytes() == b"kept"


def test_failed_replace_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = open_photo(smooth())

    def fail(*_: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(EditRealError, match="not here"):
        save_photo(photo.image, tmp_path / "new.png", photo)
    assert not list(tmp_path.iterdir())


def test_size_beyond_the_format_is_said(tmp_path: Path) -> None:
    photo = open_photo(np.zeros((16, 17000), np.uint8))
    with pytest.raises(EditRealError, match="WEBP"):
        save_photo(photo.image, tmp_path / "out.webp", photo)
    assert not list(tmp_path.iterdir())
