"""The start of the page: a server on this machine, with a folder of its own, that tells nobody anything."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from backbones.errors import EditRealError
from studio.samples import installed_samples
from studio.web.actions import Actions
from studio.web.gate import Gate, named_paths
from studio.web.models import Models
from studio.web.visit import THUMBNAIL, Visits, page_picture

LOOPBACK = ("127.0.0.1", "localhost")
MOST_UPLOAD = 60_000_000  # bytes
LONGEST_QUEUE = 16
HASH_LETTERS = 64  # of the folders that Gradio names after what was uploaded
TOKENS = ("access-token", "access-token-unsecure")
"""Gradio's cookies of those who have logged in; it adds an id of its own."""

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Door:
    """Who may come in.

    Attributes:
        host: The address that the server listens at.
        port: Its port; None is the first that is free.
        password: That visitors are asked for; None asks for none.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    password: str | None = None

    @property
    def is_local(self) -> bool:
        return self.host in LOOPBACK


def check_door(host: str, port: int | None, password: str | None, *, no_password: bool) -> Door:
    """The door that was asked for.

    Raises:
        EditRealError: Other machines could come in, and nothing is said of a password; or nothing can listen there.
    """
    if password is not None and (no_password or not password.strip()):
        raise EditRealError("expected a password of some letters, or --no-password, got neither or both; give one")
    if host not in LOOPBACK and password is None and not no_password:
        raise EditRealError(
            f"expected --password or --no-password beside --host {host}, since other machines can reach the page there"
        )
    try:
        with socket.create_server((host, port or 0)):
            return Door(host, port, password)
    except (OSError, OverflowError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from error


def _cannot_listen(host: str, port: int | None, error: Exception) -> EditRealError:
    """What is said where nothing can listen."""
    where = host if port is None else f"{host}, port {port}"
    return EditRealError(
        f"cannot listen at {where} ({error}); choose another --port, or as --host an IPv4 address of this machine"
    )


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that only this user can read, in which Gradio keeps its files; it is gone after the block."""
    settings = {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_RUN_HISTORY": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    folder = Path(tempfile.mkdtemp(prefix="edit-real-"))
    found = {name: os.environ.get(name) for name in (*settings, "GRADIO_TEMP_DIR")}
    os.environ.update(settings, GRADIO_TEMP_DIR=str(folder))
    try:
        yield folder
    finally:
        for name, value in found.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(models: Models, door: Door | None = None, *, open_browser: bool = False) -> Iterator[str]:
    """The page, served until the block ends.

    Yields:
        Its address.
    """
    door = door or Door()
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder())
        page_class = _page_class()
        visits = Visits(folder)
        stack.callback(visits.close)
        offered = installed_samples()
        pictures = [
            (one.name.capitalize(), page_picture(Image.fromarray(one.load()), folder, THUMBNAIL)) for one in offered
        ]
        page = page_class(Actions(models, offered), visits, pictures, door=door.is_local)
        stop = threading.Event()
        page.blocks.queue(max_size=LONGEST_QUEUE, default_concurrency_limit=4, api_open=False)
        queue = page.blocks._queue
        drop_messages_to_nobody(queue)
        threading.Thread(target=_sweep, args=(visits, folder, queue, stop), daemon=True).start()
        stack.callback(stop.set)
        try:
            _, address, _ = page.blocks.launch(**_launch_settings(door, open_browser))
        except OSError as error:
            raise _cannot_listen(door.host, door.port, error) from error
        stack.callback(page.blocks.close, verbose=False)
        yield address


def serve(names: Sequence[str], door: Door, *, open_browser: bool) -> None:
    """Serves the page until it is interrupted, or told to end; its files are gone in either case."""
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    _page_class()
    models = Models(names)
    models.editor(models.names[0])
    try:
        with _ended_like_an_interrupt(), running(models, door, open_browser=open_browser) as address:
            print(f"edit-real is at {address} (Ctrl+C ends it)", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        print("ended; its files are gone")


@contextmanager
def _ended_like_an_interrupt() -> Iterator[None]:
    """What ends a process otherwise, such as a closed terminal, is taken as Ctrl+C, so that files are removed."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    found = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in found.items():
            signal.signal(getattr(signal, name), handler)


def _page_class() -> Any:
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise EditRealError("the page needs Gradio; pip install 'edit-real[web]'") from error
    from studio.web.page import Page

    return Page


def _launch_settings(door: Door, open_browser: bool) -> dict[str, Any]:
    from starlette.middleware import Middleware

    from studio.web.look import theme

    gate = Middleware(
        Gate,
        most_upload=MOST_UPLOAD + 1_000_000,
        hosts=[*LOOPBACK] if door.is_local else [],
        calls=door.is_local,
        admits=None if door.password is None else _has_logged_in,
    )
    return {
        "server_name": door.host,
        "server_port": door.port,
        "inbrowser": open_browser,
        "auth": None
        if door.password is None
        else lambda _, given: secrets.compare_digest(given.encode(), door.password.encode()),
        "auth_message": "Any name will do; the password is the one that was set at the start.",
        "prevent_thread_lock": True,
        "quiet": True,
        "share": False,
        "show_error": False,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "allowed_paths": [],
        "max_file_size": MOST_UPLOAD,
        "max_threads": 16,
        "state_session_capacity": 200,
        "app_kwargs": {"middleware": [gate]},
        "theme": theme(),
        "css": (HERE / "style.css").read_text(encoding="utf-8"),
        "js": (HERE / "page.js").read_text(encoding="utf-8"),
    }


def _has_logged_in(scope: MutableMapping[str, Any]) -> bool:
    """Whether a request brings what Gradio gave its sender for the password."""
    from starlette.requests import HTTPConnection

    app, cookies = scope["app"], HTTPConnection(scope).cookies
    return any(cookies.get(f"{name}-{app.cookie_id}") in app.tokens for name in TOKENS)


def drop_messages_to_nobody(queue: Any) -> None:
    """Keeps Gradio's queue going where it has something to tell to a session that it has forgotten.

    It remembers the last 2,000, and takes the first message to an older one for the end of everything.
    """
    send = queue.send_message

    def sent(event: Any, message: Any) -> None:
        if event.session_hash in queue.pending_messages_per_session:
            send(event, message)

    queue.send_message = sent


def _sweep(visits: Visits, folder: Path, queue: Any, stop: threading.Event) -> None:
    while not stop.wait(30):
        visits.sweep()
        remove_empty(folder)
        remove_uploads(folder, named_in(queue))


def named_in(queue: Any) -> set[str]:
    """The files that calls name which wait in Gradio's queue, or run."""
    calls = [event.data for event in list(queue.event_ids_to_events.values())]
    return {path for call in calls if call is not None for path in named_paths(call.data)}


def remove_uploads(folder: Path, needed: Collection[str] = (), age: float = 300) -> None:
    """Removes the files that were handed over, which their visits have read by then.

    Gradio keeps the same content under the same name once, whoever hands it over, so that no visit may remove it.

    Args:
        folder: Where it keeps its files.
        needed: Those that are still to be read.
        age: In seconds, of those that are removed.
    """
    for path in folder.glob(f"{'?' * HASH_LETTERS}/*"):
        if str(path) not in needed:
            _remove_older(path, age)


def remove_empty(folder: Path, age: float = 120) -> None:
    """Removes the empty files that Gradio makes beside each upload, once they are no part of one on its way.

    Args:
        folder: Where it keeps its files.
        age: In seconds, of those that are removed.
    """
    for path in folder.glob("tmp*"):
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_size == 0:
                _remove_older(path, age)


def _remove_older(path: Path, age: float) -> None:
    with suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime > age:
            path.unlink()
