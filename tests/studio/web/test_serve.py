from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from studio.limits import say_limits
from studio.web.models import Models
from studio.web.serve import (
    HASH_LETTERS,
    Door,
    check_door,
    drop_messages_to_nobody,
    named_in,
    own_folder,
    remove_empty,
    remove_uploads,
    serve,
)


def test_the_folder_is_ones_own_and_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "True")
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with own_folder() as folder:
        (folder / "photo.png").write_bytes(b"")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert not folder.exists()
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "True" and "GRADIO_TEMP_DIR" not in os.environ


def test_other_machines_come_in_on_purpose_only() -> None:
    assert check_door("127.0.0.1", None, None, no_password=False) == Door()
    assert Door().is_local
    assert not check_door("0.0.0.0", 8000, "a secret", no_password=False).is_local
    assert not check_door("0.0.0.0", None, None, no_password=True).is_local
    with pytest.raises(EditRealError, match="--password or --no-password"):
        check_door("0.0.0.0", None, None, no_password=False)
    for password, no_password in (("", False), ("a secret", True)):
        with pytest.raises(EditRealError, match="password"):
            check_door("0.0.0.0", None, password, no_password=no_password)


@pytest.mark.parametrize("host", ["::1", "no such host", "198.51.100.7", "x" * 300])
def test_where_nothing_can_listen_is_said_before_a_model_is_loaded(host: str) -> None:
    with pytest.raises(EditRealError, match="cannot listen at") as caught:
        check_door(host, None, "a secret", no_password=False)
    assert "\n" not in str(caught.value) and "IPv4" in str(caught.value)


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EditRealError, match=f"cannot listen at 127.0.0.1, port {port} .* choose another --port"):
            check_door("127.0.0.1", port, None, no_password=False)


def test_without_gradio_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(EditRealError, match=r"pip install 'edit-real\[web\]'"):
        serve(["bundled"], Door(), open_browser=False)


def test_models_are_loaded_once_when_they_are_asked_for(backbone: Backbone, tmp_path: Path) -> None:
    loaded: list[str] = []

    def load(name: str) -> Backbone:
        loaded.append(name)
        return backbone

    models = Models(["one", "two", "one"], load=load)
    assert models.names == ("one", "two") and not loaded
    assert models.editor("two") is models.editor("two") and loaded == ["two"]
    with pytest.raises(EditRealError, match="among one, two"):
        models.editor(str(tmp_path))
    assert Models.title(str(tmp_path / "my model")) == "my model"


def test_limits_are_told_in_words(backbone: Backbone, bundled: Backbone) -> None:
    assert "vocabulary is open" in say_limits(backbone)
    assert "128 × 128" in say_limits(bundled) and "daisy" in say_limits(bundled)


def test_empty_files_beside_uploads_are_removed_when_they_are_old(tmp_path: Path) -> None:
    old, young, full = (tmp_path / name for name in ("tmp1", "tmp2", "tmp3"))
    for path in (old, young, full):
        path.write_bytes(b"photo" if path == full else b"")
    for path in (old, full):
        os.utime(path, (0, 0))
    remove_empty(tmp_path)
    assert sorted(tmp_path.iterdir()) == [young, full]


def test_uploads_are_removed_when_they_are_old_and_no_call_waits_for_them(tmp_path: Path) -> None:
    gradio = pytest.importorskip("gradio", reason="the page needs Gradio")
    queueing, data_classes = (pytest.importorskip(f"gradio.{name}") for name in ("queueing", "data_classes"))
    old, waited_for, young, edit = (
        tmp_path / folder / "rose.png"
        for folder in ("a" * HASH_LETTERS, "b" * HASH_LETTERS, "c" * HASH_LETTERS, "of a visit")
    )
    for path in (old, waited_for, young, edit):
        path.parent.mkdir()
        path.write_bytes(b"photo")
        os.utime(path, None if path == young else (0, 0))
    with gradio.Blocks(analytics_enabled=False) as blocks:
        gradio.Button().click(lambda: None)
    queue = blocks.queue()._queue
    event = queueing.Event("visitor", blocks.fns[0], None, None)
    event.data = data_classes.PredictBodyInternal(data=[{"path": str(waited_for)}, "a rose"])
    queue.event_ids_to_events[event._id] = event
    remove_uploads(tmp_path, named_in(queue))
    assert [path.exists() for path in (old, waited_for, young, edit)] == [False, True, True, True]


def test_a_session_that_gradio_has_forgotten_does_not_end_its_queue() -> None:
    """It remembers the last 2,000, so that many visitors, or one who means harm, push out one who waits."""
    gradio = pytest.importorskip("gradio", reason="the page needs Gradio")
    queueing = pytest.importorskip("gradio.queueing")
    with gradio.Blocks(analytics_enabled=False) as blocks:
        gradio.Button().click(lambda: None)
    queue = blocks.queue()._queue
    forgotten, known = (queueing.Event(name, blocks.fns[0], None, None) for name in ("forgotten", "known"))
    queue.create_event_queue_for_fn(blocks.fns[0])
    queue.event_queue_per_concurrency_id[forgotten.concurrency_id].queue += [forgotten, known]
    queue.pending_messages_per_session["known"] = messages = asyncio.Queue()
    with pytest.raises(KeyError):
        queue.broadcast_estimations(forgotten.concurrency_id)
    drop_messages_to_nobody(queue)
    queue.broadcast_estimations(forgotten.concurrency_id)
    assert messages.get_nowait().rank == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_page_that_is_told_to_end_leaves_no_files(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "studio.cli", "web", "--no-open"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        assert "edit-real is at http://127.0.0.1" in page.stdout.readline()
        assert list(tmp_path.glob("edit-real-*"))
        page.terminate()
        assert page.wait(60) == 0
    assert not list(tmp_path.glob("edit-real-*"))
