"""Photos go out whole or not at all."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.errors import EditRealError
from backbones.photo import Photo, open_photo
from backbones.pixels import with_alpha
from backbones.saving import check_folder, make_folder, save_photo, written_whole
from backbones.xmp import read_text
from tests.backbones.photos import LOSSLESS, SUFFIXES, noise, pixels_of, smooth, srgb_profile


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


@pytest.mark.parametrize("failure", [OSError("disk full"), TypeError("odd"), KeyboardInterrupt(), RuntimeError("bug")])
def test_a_file_is_written_whole_or_not_at_all(failure: BaseException, tmp_path: Path) -> None:
    target = tmp_path / "notes.txt"
    target.write_text("kept")
    expected = EditRealError if isinstance(failure, (OSError, TypeError)) else type(failure)

    def fail() -> None:
        with written_whole(target, failures=(TypeError,)) as draft:
            draft.write_text("half")
            raise failure

    with pytest.raises(expected):
        fail()
    assert target.read_text() == "kept"
    with written_whole(str(target)) as draft:
        assert draft.parent == tmp_path
        draft.write_text("all")
    assert target.read_text() == "all"
    assert list(tmp_path.iterdir()) == [target]


def test_places_that_hold_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    for name in ("missing/out", "file/out", "folder"):
        draft = written_whole(tmp_path / name, remedy="choose better")
        with pytest.raises(EditRealError, match=r"cannot write .*; choose better"), draft:
            pass
    assert {path.name for path in tmp_path.rglob("*")} == {"file", "folder"}


def test_a_link_that_leads_to_itself_is_no_folder(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    check_folder(loop, Photo(Image.new("RGB", (8, 8)), path=tmp_path / "photo.png"), overwrite=False)
    with pytest.raises(EditRealError, match="cannot make the folder"):
        make_folder(loop)


def test_what_the_block_refuses_is_said_as_it_is(tmp_path: Path) -> None:
    with (
        pytest.raises(EditRealError, match=r"^expected a cat$"),
        written_whole(tmp_path / "out", failures=(ValueError,)),
    ):
        raise EditRealError("expected a cat")
    assert not list(tmp_path.iterdir())


XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<r:Description r:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:er="urn:edit-real:1#" tiff:Orientation="6" dc:format="image/jpeg" er:recipe="of before">
<dc:rights><r:Alt><r:li xml:lang="x-default">© Ann &amp; Bob</r:li></r:Alt></dc:rights></r:Description>
</r:RDF></x:xmpmeta>"""


@pytest.mark.parametrize("note", [None, "a recipe"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_photos_own_xmp_and_resolution_are_kept_beside_a_note(
    suffix: str, note: str | None, tmp_path: Path
) -> None:
    smooth().save(tmp_path / "in.jpg", xmp=XMP.encode(), comment=b"by Ann", dpi=(300, 300))
    photo = open_photo(tmp_path / "in.jpg")
    save_photo(photo.image, tmp_path / f"out{suffix}", photo, note=note)
    again = open_photo(tmp_path / f"out{suffix}")
    assert again.xmp is not None and "© Ann &amp; Bob" in again.xmp and "image/jpeg" in again.xmp
    assert "Orientation=" not in again.xmp, "the pixels are upright now"
    assert read_text(tmp_path / f"out{suffix}") == note
    assert again.comment == (b"by Ann" if suffix == ".jpg" else None)
    if suffix != ".webp":
        assert again.dpi == pytest.approx((300, 300), abs=0.01)


def test_a_photo_that_says_nothing_is_saved_without_a_word_of_it(tmp_path: Path) -> None:
    smooth().save(tmp_path / "in.tif")
    photo = open_photo(tmp_path / "in.tif")
    assert (photo.xmp, photo.comment, photo.dpi) == (None, None, None)
    save_photo(photo.image, tmp_path / "out.png", photo)
    with Image.open(tmp_path / "out.png") as saved:
        assert not saved.info.keys() - {"exif"}


@pytest.mark.parametrize(
    ("note", "own", "lost"), [("n" * 9_000, 60_000, ["recipe"]), ("n" * 9_000, 70_000, ["recipe", "photo's XMP"])]
)
def test_what_a_jpeg_has_no_room_for_is_told(note: str, own: int, lost: list[str], tmp_path: Path) -> None:
    photo = replace(open_photo(smooth()), xmp=XMP.replace("Bob", "B" * own))
    told: list[str] = []
    save_photo(photo.image, tmp_path / "out.jpg", photo, note=note, tell=told.append)
    assert [line.split(" is not kept")[0].removeprefix("The ") for line in told] == lost
    assert (open_photo(tmp_path / "out.jpg").xmp is None) == ("photo's XMP" in lost)
