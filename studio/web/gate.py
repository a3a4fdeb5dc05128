"""What the server lets through: the page's own requests, from its own address, of a reasonable size.

Gradio's server can do more than this page needs: fetch addresses for a visitor, store a page's state on disk, accept
requests that another site's page makes. All of that ends here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Server = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/login/?|/logout|/(assets|static|svelte)/.+"
    r"|/gradio_api/(app_id|config|info|theme\.css|user|token|login_check|startup-events|reset|cancel|upload"
    r"|upload_progress|run/predict|queue/(join|data)|heartbeat/\w+)/?"
    r"|/gradio_api/file=(?!\w+:).+"
)
"""Paths that the page needs."""

CALLS = re.compile(r"/gradio_api/call/(v2/)?\w+(/\w+)?")
"""Paths of the programmable door beside them."""

UPLOAD = "/gradio_api/upload"
MOST_BYTES = 8_000_000
"""Of a request that is no upload."""


class Gate:
    """An ASGI middleware.

    Args:
        app: What answers the requests that pass.
        most_upload: Bytes of an upload.
        hosts: Names under which the server may be asked for; empty for any. On a loopback address it keeps out pages
            of other sites whose name was made to point here.
        calls: Whether the programmable door is open.
    """

    def __init__(self, app: Server, *, most_upload: int, hosts: Collection[str] = (), calls: bool = False) -> None:
        self._app, self._most_upload, self._hosts, self._calls = app, most_upload, frozenset(hosts), calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal:
            await _answer(send, *refusal)
            return
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"].rstrip("/") == UPLOAD
        most = self._most_upload if is_upload else MOST_BYTES
        if is_upload:
            await self._app(scope, _counted(receive, most), send)
            return
        body = await _read(receive, most)
        if body is None:
            await _answer(send, 413, f"expected a request of at most {most} bytes")
        elif _fetches(body):
            await _answer(send, 403, "expected an uploaded file, got an address")
        else:
            await self._app(scope, _again(body, receive), send)

    def _refusal(self, scope: Scope, headers: MutableMapping[str, str]) -> tuple[int, str] | None:
        path = scope["path"]
        if not (OPEN.fullmatch(path) or (self._calls and CALLS.fullmatch(path))):
            return 404, "there is nothing here"
        host = headers.get("host", "")
        if self._hosts and _name(host) not in self._hosts:
            return 403, "expected a request to this machine by its own name"
        origin = headers.get("origin")
        if origin is not None and scope["method"] == "POST" and urlsplit(origin).netloc != host:
            return 403, "expected a request from this page, got one from another"
        most = self._most_upload if path.rstrip("/") == UPLOAD else MOST_BYTES
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > most:
            return 413, f"expected a request of at most {most} bytes"
        return None


def _name(host: str) -> str:
    """A host without its port."""
    return urlsplit(f"//{host}").hostname or ""


def _counted(receive: Receive, most: int) -> Receive:
    """The body in parts, cut off as if the sender had left where there is too much of it."""
    got = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        return {"type": "http.disconnect"} if got > most else message

    return counted


async def _read(receive: Receive, most: int) -> bytes | None:
    """The whole body; None where there is too much of it."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body", False):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Hands out a body that was read already."""
    handed = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _fetches(body: bytes) -> bool:
    """Whether a JSON body names a file by an address, which the server would go and fetch."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return any(re.match(r"\s*\w+:/", path) is not None for path in _paths(content))


def _paths(content: Any) -> Iterator[str]:
    """All `path` and `url` values, wherever they stand, but those of pages' own files."""
    waiting = [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            if isinstance(one.get("path"), str):
                yield one["path"]


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
