"""Photos of every kind come in as they are seen."""

from __future__ import annotations

import hashlib
import io
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from backbones.errors import EditRealError
from backbones.photo import open_photo
from backbones.saving import save_photo
from tests.backbones.photos import INVERSES, SUFFIXES, camera_exif, noise, pixels_of, smooth, srgb_profile


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


def test_only_a_profile_of_rgb_is_kept() -> None:
    image = smooth()
    image.info["icc_profile"] = srgb_profile()
    assert open_photo(image).icc_profile == srgb_profile()
    grey = bytearray(srgb_profile())
    grey[16:20] = b"GRAY"
    image.info["icc_profile"] = bytes(grey)
    assert open_photo(image).icc_profile is None


def test_a_photo_without_exif_gets_none(tmp_path: Path) -> None:
    smooth().save(tmp_path / "plain.jpg")
    photo = open_photo(tmp_path / "plain.jpg")
    assert photo.exif is None
    assert photo.icc_profile is None
    assert photo.format == "JPEG"
    assert photo.path == tmp_path / "plain.jpg"


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
        with pytest.raises(EditRealError, match=r"40x32; .* or, in Python, hand over open_photo\("):
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
    for address in ("https://x.org/photo.jpg", "s3://bucket/photo.jpg"):
        with pytest.raises(EditRealError, match=f"got {address.replace('//', '/')}; addresses are not read"):
            open_photo(address)
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
        with warnings.catch_warnings(record=True) as caught:
            photo = open_photo(tmp_path / f"film{suffix}")
        said = [str(warning.message) for warning in caught]
        assert said == (
            [] if suffix == ".tif" else [f"{photo.path} is an animation, of which the first image is taken."]
        )
        red, _, blue = pixels_of(photo)[0, 0]
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


def test_photos_read_by_many_threads_leave_the_warnings_as_they_were(tmp_path: Path) -> None:
    Image.fromarray(noise(300, 300)).save(tmp_path / "photo.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda _: open_photo(tmp_path / "photo.png").size, range(64)))
    assert sizes == [(300, 300)] * 64
    assert warnings.filters == before


def test_a_photo_that_was_read_comes_back_itself() -> None:
    photo = open_photo(np.zeros((8, 10, 3), np.uint8))
    assert open_photo(photo) is photo
