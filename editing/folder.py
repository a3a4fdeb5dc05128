"""A folder for results, checked before any work and made when there is something to write."""

from __future__ import annotations

from pathlib import Path

from backbones.errors import EditRealError
from backbones.photo import Photo


def check_folder(folder: Path, photo: Photo, *, overwrite: bool) -> None:
    """Refuse a folder to write results to before any work is done.

    Raises:
        EditRealError: It is none, holds files, or is the photo's own.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise EditRealError(f"expected a folder to write to, but {folder} is a file; choose another name")
        if photo.path is not None and photo.path.parent.resolve() == folder.resolve():
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
