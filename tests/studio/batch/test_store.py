from __future__ import annotations

import errno
import json
import multiprocessing
import os
import sys
from pathlib import Path

import fsspec
import pytest

from backbones.errors import EditRealError
from studio.batch.ledger import NAME, Ledger
from studio.batch.store import RESULT, FolderStore, ObjectStore, Store, open_store, place

KEY = "ab" * 16


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        (tmp_path / "out").mkdir()
        return open_store(str(tmp_path / "out"))
    return open_store(f"memory://{tmp_path.name}/out")


def publish(store: Store, content: str = "picture") -> None:
    with store.publish(KEY, {"metrics": {}}) as folder:
        (folder / "image.png").write_text(content)


def test_a_row_is_there_when_it_is_whole(store: Store) -> None:
    assert store.record(KEY) is None
    publish(store)
    assert store.record(KEY) == {"metrics": {}, "files": {"image.png": 7}}
    assert store.read(f"{place(KEY)}/image.png") == b"picture"


def test_a_row_that_fails_on_the_way_leaves_nothing(store: Store) -> None:
    nothing: dict[str, str] = {}
    with pytest.raises(KeyError), store.publish(KEY, {}) as folder:
        (folder / "image.png").write_text("half" + nothing["the other half"])
    assert store.record(KEY) is None and store.read(f"{place(KEY)}/image.png") is None


def test_a_row_without_one_of_its_files_is_none(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    publish(store)
    image = tmp_path / place(KEY) / "image.png"
    for spoil in (lambda: image.write_text("cut"), image.unlink, (tmp_path / place(KEY) / RESULT).unlink):
        spoil()
        assert store.record(KEY) is None
        publish(store)
        assert store.record(KEY) and image.read_text() == "picture"


def test_who_comes_second_leaves_the_row_as_it_is(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    publish(store)
    before = (tmp_path / place(KEY) / RESULT).stat()
    publish(store, "another")
    after = (tmp_path / place(KEY) / RESULT).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert (tmp_path / place(KEY) / "image.png").read_text() == "picture"
    assert [path.name for path in (tmp_path / place(KEY)).parent.iterdir()] == [KEY]


def test_an_upload_that_breaks_off_is_no_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = open_store(f"memory://{tmp_path.name}/out")
    files = fsspec.filesystem("memory")
    real = type(files).pipe_file

    def pipe(self: object, path: str, value: bytes, **options: object) -> None:
        if path.endswith(RESULT):
            raise OSError("the network is down")
        real(self, path, value, **options)

    monkeypatch.setattr(type(files), "pipe_file", pipe)
    with pytest.raises(EditRealError, match="network is down"):
        publish(store)
    assert store.record(KEY) is None
    monkeypatch.undo()
    publish(store)
    assert store.record(KEY)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(EditRealError, match="nowhere"):
        open_store("nowhere://bucket")


def test_files_are_replaced_as_a_whole(store: Store) -> None:
    assert store.read("index.html") is None
    for content in (b"one", b"two"):
        store.write("index.html", content)
        assert store.read("index.html") == content


def test_the_ledger_grows_and_is_put_in_order(store: Store) -> None:
    with store.locked():
        ledger = Ledger(store)
        ledger.add({"row": 2, "key": "k", "status": "failed", "reason": "no"})
        ledger.add({"row": 1, "key": "d", "status": "done"})
    with store.locked():
        again = Ledger(store)
        assert [line["row"] for line in again.lines] == [2, 1]
        assert again.failures() == {"k": ("no", "")}
        again.rewrite([{"row": 1, "name": "rosé"}])
    content = store.read(NAME)
    assert content is not None and json.loads(content) == {"row": 1, "name": "rosé"}


def test_the_last_word_on_a_row_counts(tmp_path: Path) -> None:
    lines = [{"key": "k", "status": "failed", "reason": "no"}, {"key": "k", "status": "done"}, {"key": None}, [], 3]
    (tmp_path / NAME).write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert Ledger(FolderStore(tmp_path)).failures() == {}


@pytest.mark.parametrize("torn", ['{"row": 2, "sta', "{", "\x00\x00\x00"])
def test_a_line_that_was_cut_off_is_taken_away(tmp_path: Path, torn: str) -> None:
    whole = json.dumps({"row": 1, "key": "a", "status": "done"}) + "\n"
    (tmp_path / NAME).write_text(whole + torn)
    store = FolderStore(tmp_path)
    ledger = Ledger(store)
    ledger.add({"row": 2})
    assert (tmp_path / NAME).read_text() == whole + '{"row": 2}\n'


def hold(folder: Path, held: object, done: object) -> None:
    with open_store(str(folder)).locked():
        held.set()  # type: ignore[attr-defined]
        done.wait(60)  # type: ignore[attr-defined]


def test_two_runs_at_once_are_refused_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # nothing is computed in it
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "out", held, done))
    other.start()
    assert held.wait(60)
    store = open_store(str(tmp_path / "out"))
    with pytest.raises(EditRealError, match="another run is at work"), store.locked():
        pass
    other.kill()
    other.join()
    with store.locked():
        pass


def test_a_folder_that_cannot_be_locked_is_no_other_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", without_locks)
    with pytest.raises(EditRealError, match=r"cannot be locked .*No locks"), open_store(str(tmp_path / "out")).locked():
        pass


def test_drafts_of_a_killed_run_are_taken_away(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with store.locked():
        publish(store)
    draft = tmp_path / "results/ab/.abc.part"
    draft.mkdir()
    (draft / "image.png").write_text("half")
    (tmp_path / ".abc.part").write_text("half")
    with store.locked():
        assert not draft.exists() and not (tmp_path / ".abc.part").exists()
    assert store.record(KEY)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(EditRealError, match="other files"), open_store(str(tmp_path)).locked():
        pass
    with pytest.raises(EditRealError, match="cannot write"), open_store(str(tmp_path / "thesis.txt/out")).locked():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_address_of_something_else_is_refused(tmp_path: Path) -> None:
    address, files = f"memory://{tmp_path.name}/shop", fsspec.filesystem("memory")
    files.pipe_file(f"/{tmp_path.name}/shop/index.html", b"mine")
    with pytest.raises(EditRealError, match=f"{address} holds other files"), open_store(address).locked():
        pass
    assert files.find(f"/{tmp_path.name}") == [f"/{tmp_path.name}/shop/index.html"]


def test_a_folder_may_be_called_by_its_address_or_from_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for address in (f"file://{tmp_path}/out", "~/out"):
        store = open_store(address)
        assert isinstance(store, FolderStore) and store.folder == tmp_path / "out"


def test_half_a_character_breaks_no_line(store: Store) -> None:
    line = {"row": 1, "photo": "ros\udce9.png", "name": "rosé"}
    Ledger(store).rewrite([line])
    assert Ledger(store).lines == [line]


def test_a_full_disk_is_told_with_what_it_was_about(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = FolderStore(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EditRealError, match="No space left"):
        publish(store)
    assert store.record(KEY) is None and not list(tmp_path.rglob("*.part"))


def test_a_store_whose_package_is_missing_is_told_from_those_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(EditRealError, match=r"s3fs.*; each kind of store has a package of its own, beside those of"):
        ObjectStore("s3://bucket/folder")
