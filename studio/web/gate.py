"""What the server lets through: the page's own requests, from its own address, in good form and of a reasonable size.

Gradio's server can do more than this page needs: fetch addresses for a visitor, store a page's state on disk, accept
requests that another site's page makes. All of that ends here. And a session with an empty name, or a name that Gradio
uses as a mark of its own, ends its queue for everybody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Server = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/login/?|/logout|/(assets|static|svelte)/.+"
    r"|/gradio_api/(app_id|config|info|theme\.css|user|token|login_check|startup-events|reset|cancel|upload"
    r"|upload_progress|run/predict|queue/(join|data)|heartbeat/[\w-]{1,64})/?"
    r"|/gradio_api/file=(?!\w+:).+"
)
"""Paths that the page needs."""

CALLS = re.compile(r"/gradio_api/call/(v2/)?\w+(/\w+)?")
"""Paths of the programmable door beside them."""

UNLOCKED = re.compile(
    r"/|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/login/?|/logout|/(assets|static|svelte)/.+"
    r"|/gradio_api/(theme\.css|login_check|startup-events)/?"
)
"""Paths that asking for a password needs; `/` shows nothing else before it is given."""

UPLOAD, LOGIN = "/gradio_api/upload", "/login"
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""How browsers and gradio_client name a session."""

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
        admits: Whether the sender of a request has given the password; None where none is asked for.
    """

    def __init__(
        self,
        app: Server,
        *,
        most_upload: int,
        hosts: Collection[str] = (),
        calls: bool = False,
        admits: Callable[[Scope], bool] | None = None,
    ) -> None:
        self._app, self._most_upload, self._hosts, self._calls = app, most_upload, frozenset(hosts), calls
        self._admits = admits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                receive = await self._let_in(scope, receive)
            except _Refused as refused:
                await _answer(send, refused)
                return
        elif scope["type"] != "lifespan":
            return
        await self._app(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive) -> Receive:
        """What hands out the body of a request that may pass.

        Raises:
            _Refused: It may not.
        """
        path, method = scope["path"].rstrip("/"), scope["method"]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        most = self._most_upload if path == UPLOAD else MOST_BYTES
        self._check_place(scope)
        self._check_sender(headers, method)
        _check_length(headers, most)
        if self._admits is not None and not UNLOCKED.fullmatch(scope["path"]) and not self._admits(scope):
            raise _Refused(401, "expected the password first; open the page and log in")
        if method != "POST":
            return receive
        if path == UPLOAD:
            return _counted(receive, most)
        body = await _read(receive, most)
        if path != LOGIN:
            _check_call(body, headers)
        return _again(body, receive)

    def _check_place(self, scope: Scope) -> None:
        if not (OPEN.fullmatch(scope["path"]) or (self._calls and CALLS.fullmatch(scope["path"]))):
            raise _Refused(404, "there is nothing here")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise _Refused(405, f"expected GET, HEAD or POST, got {scope['method']}")

    def _check_sender(self, headers: Mapping[str, str], method: str) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts and _name(host) not in self._hosts:
            raise _Refused(403, "expected a request to this machine by its own name")
        if origin is not None and method == "POST" and origin.partition("://")[2] != host:
            raise _Refused(403, "expected a request from this page, got one from another")


class _Refused(Exception):  # noqa: N818 - an answer, not an error
    """What may not pass, with the status and the sentence of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def _name(host: str) -> str:
    """A host without its port; empty where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _check_length(headers: Mapping[str, str], most: int) -> None:
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > most:
        raise _too_large(most)


def _too_large(most: int) -> _Refused:
    return _Refused(413, f"expected a request of at most {most} bytes")


def _check_call(body: bytes, headers: Mapping[str, str]) -> None:
    """That a body is a JSON object with a session as browsers name them, and names no file by an address."""
    kind = headers.get("content-type", "nothing").partition(";")[0].strip()
    if kind.lower() != "application/json":
        raise _Refused(400, f"expected the content type application/json, got {kind}")
    try:
        content = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _Refused(400, "expected JSON in UTF-8, got something else") from error
    if not isinstance(content, dict):
        raise _Refused(400, "expected a JSON object, got another value")
    session = content.get("session_hash")
    if session is not None and not (isinstance(session, str) and SESSION.fullmatch(session)):
        raise _Refused(400, "expected a session_hash of letters, digits, - and _, got another")
    if _fetches(content):
        raise _Refused(403, "expected an uploaded file, got an address")


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _counted(receive: Receive, most: int) -> Receive:
    """The body in parts, cut off as if the sender had left where there is too much of it."""
    got = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        return {"type": "http.disconnect"} if got > most else message

    return counted


async def _read(receive: Receive, most: int) -> bytes:
    """The whole body.

    Raises:
        _Refused: There is too much of it.
    """
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large(most)
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


def _fetches(content: Any) -> bool:
    """Whether a call names a file by an address, which the server would go and fetch."""
    return any(re.match(r"\s*\w+:/", path) is not None for path in named_paths(content))


def named_paths(content: Any) -> Iterator[str]:
    """All `path` values, wherever they stand, but those of pages' own files."""
    waiting = [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            if isinstance(one.get("path"), str):
                yield one["path"]


async def _answer(send: Send, refused: _Refused) -> None:
    body = json.dumps({"error": refused.text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
