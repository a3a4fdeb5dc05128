"""The folder of results: what is in it is whole, whoever writes and whenever it is interrupted.

On a file system a row's folder is written under another name, synced and renamed. An object store has no rename;
there `result.json` is uploaded last, and a row is one whose `result.json` stands.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from uuid import uuid4

from backbones.errors import EditRealError
from backbones.paths import expanded
from backbones.saving import written_whole
from studio.batch.outcome import StoppedError

RESULT = "result.json"
RESULTS = "results"
MARK, LOCK = ".edit-real-batch", ".edit-real-lock"
DRAFT_END = ".part"
LEAST_ROOM = 1 << 16  # bytes; with less a disk is full
UPLOAD_EVERY = 60.0  # seconds between two uploads of a growing file


class Store(Protocol):
    """Where results go. Names are relative, with slashes."""

    def locked(self) -> Any:
        """A context manager for the one run that may work here; whoever comes second is refused with EditRealError."""

    def record(self, key: str) -> dict[str, Any] | None:
        """What a finished row's `result.json` says; None where the row is not there, or not whole."""

    def publish(self, key: str, record: dict[str, Any]) -> Any:
        """A context manager with a folder for a row's files; when it ends the row is there with all of them.

        `record` becomes `result.json`, with the sizes of the files as `files`. Where another has finished the row in
        the meantime, its files stay.
        """

    def full(self) -> bool:
        """Whether there is no room left, as far as that can be told."""

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Replaces a file as a whole."""

    def append(self, name: str, content: bytes) -> None:
        """Adds to the end of a file, and keeps it for good."""


def open_store(address: str) -> Store:
    """A folder, or an fsspec address such as `s3://bucket/folder`.

    Raises:
        EditRealError: It cannot be used, or holds something else than results.
    """
    folder = folder_of(address)
    return ObjectStore(address) if folder is None else FolderStore(folder)


def folder_of(address: str) -> Path | None:
    """The folder that an address stands for; None where its files are on no file system."""
    scheme, separator, path = address.partition("://")
    if not separator:
        return expanded(address)
    return Path(path) if scheme in ("file", "local") else None


def place(key: str) -> str:
    """A row's folder, relative to the store's; few enough in each that a file manager can show them."""
    return f"{RESULTS}/{key[:2]}/{key}"


class FolderStore:
    """On a file system, a shared one too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The kernel gives a lock back when its process ends, however that ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            mark = self.folder / MARK
            if not mark.exists():
                _check_empty((one.name for one in self.folder.iterdir()), str(self.folder))
                mark.touch()
            lock = (self.folder / LOCK).open("ab")
        except OSError as error:
            raise EditRealError(f"cannot write to {self.folder} ({error}); choose another folder") from error
        with lock:
            _lock(lock, self.folder)
            self._remove_drafts()
            try:
                yield
            finally:
                self._remove_drafts()

    def _remove_drafts(self) -> None:
        for pattern in (f".*{DRAFT_END}", f"{RESULTS}/*/.*{DRAFT_END}"):
            for draft in self.folder.glob(pattern):
                if draft.is_dir():
                    shutil.rmtree(draft, ignore_errors=True)
                else:
                    draft.unlink(missing_ok=True)

    def record(self, key: str) -> dict[str, Any] | None:
        folder = self.folder / place(key)
        record = _parse(self.read(f"{place(key)}/{RESULT}"))
        if record is None:
            return None
        try:
            whole = all((folder / name).stat().st_size == size for name, size in record["files"].items())
        except OSError:
            return None
        return record if whole else None

    @contextmanager
    def publish(self, key: str, record: dict[str, Any]) -> Iterator[Path]:
        target = self.folder / place(key)
        draft = target.parent / f".{key}.{uuid4().hex}{DRAFT_END}"
        try:
            draft.mkdir(parents=True)
            yield draft
            (draft / RESULT).write_bytes(_describe(record, draft))
            for file in draft.iterdir():
                _sync(file)
            _sync(draft)
            self._put_in_place(draft, target, key)
            _sync(target.parent)
        except OSError as error:
            raise EditRealError(f"cannot write {target} ({error})") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _put_in_place(self, draft: Path, target: Path, key: str) -> None:
        try:
            os.rename(draft, target)
        except OSError:
            if not target.is_dir():
                raise
            if self.record(key) is None:  # someone has taken away some of its files
                shutil.rmtree(target)
                os.rename(draft, target)

    def full(self) -> bool:
        try:
            return shutil.disk_usage(self.folder).free < LEAST_ROOM
        except OSError:
            return False

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise EditRealError(f"cannot read {self.folder / name} ({error}); check its permissions") from error

    def write(self, name: str, content: bytes) -> None:
        with written_whole(self.folder / name, remedy="make room or see to the disk") as draft:
            draft.write_bytes(content)
            _sync(draft)
        _sync(self.folder)

    def append(self, name: str, content: bytes) -> None:
        try:
            with (self.folder / name).open("ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoppedError(f"cannot write {self.folder / name} ({error}); make room or see to the disk") from error


class ObjectStore:
    """At an fsspec address. There is no lock: two runs may do a row twice, and both write the same."""

    def __init__(self, address: str) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise EditRealError(
                f"expected fsspec, which writes to addresses such as {address}, got none; "
                "pip install 'edit-real[batch]'"
            ) from error
        try:
            self.files, self.root = fsspec.core.url_to_fs(address)
        except ImportError as error:
            raise EditRealError(
                f"cannot use the address {address} ({error}); each kind of store has a package of its own, beside "
                "those of 'edit-real[batch]'"
            ) from error
        except ValueError as error:
            raise EditRealError(f"cannot use the address {address} ({error})") from error
        self.address = address
        self._growing: dict[str, bytes] = {}
        self._uploaded = time.monotonic()

    @contextmanager
    def locked(self) -> Iterator[None]:
        if self.read(MARK) is None:
            _check_empty(self._names(), self.address)
            self.write(MARK, b"")
        try:
            yield
        finally:
            self._upload()

    def _names(self) -> list[str]:
        """What lies at the address, which some stores list as well."""
        with _said_plainly(self.address), suppress(FileNotFoundError):
            paths = [path.rstrip("/") for path in self.files.ls(self.root, detail=False)]
            return [path.rpartition("/")[2] for path in paths if path != self.root.rstrip("/")]
        return []

    def record(self, key: str) -> dict[str, Any] | None:
        record = _parse(self.read(f"{place(key)}/{RESULT}"))
        if record is None:
            return None
        with _said_plainly(self.address):
            found = {one["name"].rpartition("/")[2]: one["size"] for one in self.files.ls(self._path(place(key)), True)}
        return record if all(found.get(name) == size for name, size in record["files"].items()) else None

    @contextmanager
    def publish(self, key: str, record: dict[str, Any]) -> Iterator[Path]:
        with TemporaryDirectory(prefix="edit-real-") as folder:
            draft = Path(folder)
            yield draft
            described = _describe(record, draft)
            with _said_plainly(self.address):
                self.files.makedirs(self._path(place(key)), exist_ok=True)
                for file in sorted(draft.iterdir()):
                    self.files.pipe_file(self._path(f"{place(key)}/{file.name}"), file.read_bytes())
                self.files.pipe_file(self._path(f"{place(key)}/{RESULT}"), described)

    def full(self) -> bool:
        return False

    def read(self, name: str) -> bytes | None:
        with _said_plainly(self.address), suppress(FileNotFoundError):
            self.files.invalidate_cache()
            return bytes(self.files.cat_file(self._path(name)))
        return None

    def write(self, name: str, content: bytes) -> None:
        self._growing.pop(name, None)
        with _said_plainly(self.address):
            self.files.makedirs(self.root, exist_ok=True)
            self.files.pipe_file(self._path(name), content)

    def append(self, name: str, content: bytes) -> None:
        """Objects do not grow; the whole file is uploaded from time to time."""
        if name not in self._growing:
            self._growing[name] = self.read(name) or b""
        self._growing[name] += content
        if time.monotonic() - self._uploaded > UPLOAD_EVERY:
            self._upload()

    def _upload(self) -> None:
        for name, content in list(self._growing.items()):
            self.write(name, content)
        self._uploaded = time.monotonic()

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"


@contextmanager
def _said_plainly(address: str) -> Iterator[None]:
    """What a file system of fsspec raises, as one sentence; a file that is not there stays FileNotFoundError."""
    try:
        yield
    except (FileNotFoundError, EditRealError):
        raise
    except Exception as error:  # each has errors of its own
        raise EditRealError(
            f"cannot reach {address} ({error}); check the address, the network and your rights"
        ) from error


def _check_empty(names: Iterable[str], where: str) -> None:
    if any(not name.startswith(".") for name in names):
        raise EditRealError(
            f"expected an empty folder, a new one or one of an earlier batch, but {where} holds other files; choose "
            "another"
        )


def _lock(file: Any, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: without this check
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise EditRealError(f"another run is at work on {folder}; wait for it, or choose another folder") from error
    except OSError as error:
        raise EditRealError(
            f"cannot make sure that no other run is at work on {folder}, since it cannot be locked ({error}); choose a "
            "folder of another file system"
        ) from error


def _describe(record: dict[str, Any], draft: Path) -> bytes:
    files = {file.name: file.stat().st_size for file in sorted(draft.iterdir())}
    return (json.dumps({**record, "files": files}, indent=1) + "\n").encode()


def _parse(content: bytes | None) -> dict[str, Any] | None:
    if content is None:
        return None
    try:
        record = json.loads(content)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("files"), dict) else None


def _sync(path: Path) -> None:
    """What was written to a file or a folder survives a power cut."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
