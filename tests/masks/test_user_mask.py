from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from backbones.errors import EditRealError
from masks.user_mask import read_mask, shares

EXPECTED = np.zeros((4, 6), bool)
EXPECTED[1:3, 2:] = True
LEVELS = EXPECTED * np.uint8(255)


@pytest.mark.parametrize(
    "source",
    [
        EXPECTED,
        LEVELS,
        EXPECTED.astype(np.uint8),
        EXPECTED.astype(np.int64),
        EXPECTED.astype(np.float32),
        EXPECTED * 255.0,
        np.where(EXPECTED, 128, 127).astype(np.uint8),
        np.where(EXPECTED, 0.51, 0.5),
        Image.fromarray(LEVELS),
        Image.fromarray(LEVELS).convert("1"),
        Image.fromarray(LEVELS).convert("P"),
        Image.fromarray(LEVELS).convert("RGBA"),
        np.where(EXPECTED, 32768, 300).astype(np.uint16),
        np.where(EXPECTED, 311.0, -56.0),  # a mask that was enlarged with overshoot
        Image.fromarray(np.where(EXPECTED, 65535, 3000).astype(np.uint16)),
        Image.merge("LA", [Image.new("L", (6, 4), 255), Image.fromarray(LEVELS)]),  # painted on a transparent layer
    ],
    ids=lambda source: str(getattr(source, "dtype", getattr(source, "mode", ""))),
)
def test_white_is_true_whatever_the_type(source: np.ndarray | Image.Image) -> None:
    mask = read_mask(source, (6, 4))
    assert mask.dtype == bool
    assert np.array_equal(mask, EXPECTED)


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_files_are_read(tmp_path: Path, kind: type, mode: str) -> None:
    Image.fromarray(LEVELS).convert(mode).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(kind(tmp_path / "mask.png"), (6, 4)), EXPECTED)


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_mask_is_turned_upright_as_its_photo_is(tmp_path: Path, orientation: int) -> None:
    turned = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(LEVELS).transpose(turned).save(tmp_path / "mask.png", exif=exif)
    assert np.array_equal(read_mask(tmp_path / "mask.png", (6, 4)), EXPECTED)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6, 1), (4, 5), (24,)])
def test_another_size_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(EditRealError, match="expected include_mask of the photo's size, 6x4"):
        read_mask(np.ones(shape, bool), (6, 4), "include_mask")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_an_empty_mask_is_refused(dtype: type) -> None:
    with pytest.raises(EditRealError, match="paint white"):
        read_mask(np.zeros((4, 6), dtype), (6, 4))


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_an_unreadable_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mask.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EditRealError, match="expected a readable picture as exclude_mask") as caught:
        read_mask(path, (6, 4), "exclude_mask")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [3, [[True, False]], {"mask": 1}])
def test_what_is_no_picture_is_refused(source: object) -> None:
    with pytest.raises(EditRealError, match=r"readable picture as mask"):
        read_mask(source, (6, 4))


def test_shares_are_the_covered_part_of_each_cell() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2:6, 3:7] = True
    found = shares(mask[2:10, 1:9], 4, 4)
    expected = mask[2:10, 1:9].reshape(4, 2, 4, 2).mean((1, 3))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("value", [True, False])
def test_shares_of_one_value(value: bool) -> None:
    for size in ((3, 5), (40, 40)):
        np.testing.assert_allclose(shares(np.full((11, 13), value), *size), float(value), atol=1e-6)
