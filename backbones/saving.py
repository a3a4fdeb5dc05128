"""Files written whole or not at all, and pictures in formats that keep what the photo's file said."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

from backbones.errors import EditRealError
from backbones.photo import Photo, register_heif
from backbones.xmp import as_packet, save_options

_SAVE_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},  # exact: keep the colours below transparent pixels
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "HEIF": {"quality": 95, "chroma": 444},
}


@contextmanager
def written_whole(
    path: str | Path,
    *,
    failures: tuple[type[Exception], ...] = (),
    remedy: str = "try another name or folder",
) -> Iterator[Path]:
    """A draft beside the file, which takes the file's place when the block ends and is gone if it raises.

    Args:
        path: The file to write; what stood there before is replaced.
        failures: What else than OSError the writer raises where the file cannot be written.
        remedy: The end of the error's sentence.

    Yields:
        The path of the draft, an empty file in the same folder.

    Raises:
        EditRealError: It cannot be written.

    Example:
        >>> with written_whole("notes.txt") as draft:
        ...     draft.write_text("All of it.", encoding="utf-8")
    """
    expected: tuple[type[Exception], ...] = (OSError, *failures)
    target = Path(path)
    draft = target.parent / f".{uuid4().hex}.part"
    try:
        draft.open("xb").close()
        yield draft
        os.replace(draft, target)
    except EditRealError:  # a ValueError, which may be among the failures
        raise
    except expected as error:
        raise EditRealError(f"cannot write {target} ({error}); {remedy}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def save_photo(
    image: Image.Image,
    path: str | Path,
    like: Photo,
    *,
    overwrite: bool = False,
    note: str | None = None,
    tell: Callable[[str], object] | None = None,
) -> None:
    """Write an edited photo with what the file of the photo it came from said, whole or not at all.

    That is EXIF, XMP and colour profile; the resolution in JPEG, PNG and TIFF, and a JPEG's comment in JPEG.

    The suffix chooses the format. PNG, WebP and TIFF are written without loss. JPEG and HEIC always lose a little,
    everywhere: pixels outside an edit's mask are bit-identical to the photo's in the lossless formats only.

    Args:
        image: RGB or RGBA. JPEG holds no transparency, so RGBA is put on white there, which is told.
        path: Where to; the folder must exist.
        like: The photo that was edited.
        overwrite: Whether an existing file may be replaced, the photo's own included.
        note: A text to keep inside the file, see `xmp`; where the format has no room for it, that is told.
        tell: Takes a sentence on what the file does not keep; None warns of it.

    Raises:
        EditRealError: The format is unknown, the file exists, or it cannot be written.
    """
    if image.mode not in ("RGB", "RGBA"):
        raise EditRealError(f"expected an RGB or RGBA image to save, got mode {image.mode}; convert it first")
    target = Path(path)
    check_target(target, like, overwrite=overwrite)
    pil_format = _save_format(target)
    tell = tell or partial(warnings.warn, stacklevel=4)
    options = dict(_SAVE_OPTIONS[pil_format])
    if like.exif is not None:
        options["exif"] = like.exif
        if pil_format == "TIFF":
            options["compression"] = None  # Pillow's compressor cannot write the directories within EXIF
    if like.icc_profile is not None:
        options["icc_profile"] = like.icc_profile
    if like.dpi is not None and pil_format in ("JPEG", "PNG", "TIFF"):
        options["dpi"] = like.dpi
    if like.comment is not None and pil_format == "JPEG":
        options["comment"] = like.comment
    options |= _xmp_options(note, like, pil_format, tell)
    plain = _on_white(image, tell) if pil_format == "JPEG" and image.mode == "RGBA" else image.copy()
    plain.info = {}  # Pillow would write some of it beside what is asked for
    remedy = f"try another folder, or another format than {pil_format}"
    with written_whole(target, failures=(ValueError, RuntimeError), remedy=remedy) as draft, draft.open("wb") as file:
        plain.save(file, format=pil_format, **options)


def check_target(target: Path, like: Photo, *, overwrite: bool, suffix: str | None = None) -> None:
    """Refuse a place to write to before any work is done.

    Args:
        target: Where something will be written.
        like: The photo that must not be lost.
        overwrite: Whether an existing file may be replaced, the photo's own included.
        suffix: The ending that the file must have; None takes those of the picture formats.

    Raises:
        EditRealError: The ending is wrong, the folder is missing, or the file exists.
    """
    if suffix is None:
        _save_format(target)
    elif target.suffix != suffix:
        got = target.name or target
        raise EditRealError(f"expected a file name that ends in {suffix}, got {got}; change its ending")
    try:
        if not target.parent.is_dir():
            raise EditRealError(f"expected an existing folder to save in, got {target.parent}; create it first")
        if target.is_dir():
            raise EditRealError(f"expected a file to save to, but {target} is a folder; choose another name")
        if overwrite or not (target.exists() or target.is_symlink()):
            return
        is_source = like.path is not None and like.path.exists() and target.exists() and target.samefile(like.path)
    except OSError as error:
        raise EditRealError(f"cannot write {target} ({error}); choose another name or folder") from error
    if is_source:
        raise EditRealError(
            f"{target} is the source photo itself; choose another name, or pass overwrite=True (--overwrite) to lose it"
        )
    raise EditRealError(
        f"{target} exists already; choose another name, or pass overwrite=True (--overwrite) to replace it"
    )


def check_folder(folder: Path, photo: Photo, *, overwrite: bool) -> None:
    """Refuse a folder to write results to before any work is done.

    Raises:
        EditRealError: It is none, holds files, or is the photo's own.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise EditRealError(f"expected a folder to write to, but {folder} is a file; choose another name")
        if photo.path is not None and os.path.realpath(photo.path.parent) == os.path.realpath(folder):
            raise EditRealError(f"expected a folder of its own, but {folder} is the photo's; choose another")
        if not overwrite and folder.is_dir() and any(folder.iterdir()):
            raise EditRealError(
                f"expected an empty folder or a new one, but {folder} holds files; choose another, or pass "
                "overwrite=True (--overwrite) to replace those of the same names"
            )
    except OSError as error:
        raise EditRealError(f"cannot write to {folder} ({error}); choose another folder") from error


def make_folder(folder: Path) -> None:
    """Make a folder where there is none.

    Raises:
        EditRealError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EditRealError(f"cannot make the folder {folder} ({error}); choose another") from error


def write_picture(image: Image.Image, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a picture that is not the photo, such as a mask or a sheet; errors are those of `save_photo`."""
    rgb = image.convert("RGB")
    save_photo(rgb, path, Photo(rgb), overwrite=overwrite)


def _save_format(target: Path) -> str:
    pil_format = _SAVE_FORMATS.get(target.suffix.lower())
    if pil_format is None:
        expected = "expected a file name that ends in .jpg, .jpeg, .png, .webp, .tif, .tiff or, with pillow-heif, .heic"
        raise EditRealError(f"{expected}, got {target.name or target}; change its ending")
    if pil_format == "HEIF":
        register_heif(f"writing {target}")
    return pil_format


def _xmp_options(note: str | None, like: Photo, pil_format: str, tell: Callable[[str], object]) -> dict[str, Any]:
    """What writes the note and the photo's own XMP, as far as there is room for it; what is left out is told."""
    if note is None and like.xmp is None:
        return {}
    try:
        return save_options(as_packet(note, like.xmp), pil_format, like.exif)
    except EditRealError as error:
        what = "photo's XMP" if note is None else "recipe"
        tell(f"The {what} is not kept in the file: {error}; save as PNG to keep it.")
        return {} if note is None else _xmp_options(None, like, pil_format, tell)


def _on_white(image: Image.Image, tell: Callable[[str], object]) -> Image.Image:
    alpha = image.getchannel("A")
    if alpha.getextrema() != (255, 255):
        tell("JPEG holds no transparency, so the image is put on white; save as PNG to keep it.")
    white = Image.new("RGB", image.size, "white")
    white.paste(image.convert("RGB"), mask=alpha)
    return white
