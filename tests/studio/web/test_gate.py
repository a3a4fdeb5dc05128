from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any
from uuid import uuid4

import pytest

from studio.web.gate import MOST_BYTES, Gate


def ask(
    path: str, method: str = "GET", body: bytes = b"{}", *, gate: dict[str, Any] | None = None, **headers: str
) -> tuple[int, bytes]:
    """The status of the answer, and the body that the server behind the gate got."""
    got, status = b"", 0

    async def server(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        nonlocal got
        message = await receive()
        got = message.get("body", b"")
        await send({"type": "http.response.start", "status": 200 if message["type"] == "http.request" else 499})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    told = {"host": "127.0.0.1:7860", "content_type": "application/json", **headers}
    scope = {
        "type": "http",
        "path": path,
        "method": method,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in told.items()],
    }
    wanted = {"most_upload": 1000, "hosts": ["127.0.0.1", "localhost", "::1"], **(gate or {})}
    asyncio.run(Gate(server, **wanted)(scope, receive, send))
    return status, got


@pytest.mark.parametrize(
    "path", ["/", "/config", "/gradio_api/queue/join", "/assets/index.js", "/gradio_api/file=/t/a.png"]
)
def test_what_the_page_needs_passes(path: str) -> None:
    assert ask(path)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/gradio_api/deep_link",
        "/gradio_api/file=https://example.com/a.png",
        "/gradio_api/proxy=https://example.com",
        "/gradio_api/component_server",
        "/gradio_api/vibe-edit",
        "/monitoring",
        "/gradio_api/call/edit",
    ],
)
def test_all_else_is_not_there(path: str) -> None:
    assert ask(path)[0] == 404


def test_the_door_is_opened_on_purpose() -> None:
    assert ask("/gradio_api/call/edit", gate={"calls": True})[0] == 200


def test_other_names_and_other_pages_are_kept_out() -> None:
    assert ask("/", host="evil.example:7860")[0] == 403
    assert ask("/", host="evil.example", gate={"hosts": []})[0] == 200
    assert ask("/gradio_api/queue/join", "POST", origin="https://evil.example")[0] == 403
    assert ask("/gradio_api/queue/join", "POST", origin="http://127.0.0.1:7860")[0] == 200


def test_bodies_pass_whole_or_not_at_all() -> None:
    assert ask("/gradio_api/queue/join", "POST", b'{"data": [1]}') == (200, b'{"data": [1]}')
    assert ask("/gradio_api/queue/join", "POST", b" " * (MOST_BYTES + 1))[0] == 413
    assert ask("/gradio_api/queue/join", "POST", content_length=str(MOST_BYTES + 1))[0] == 413
    assert ask("/gradio_api/queue/join", "POST", content_length="-3")[0] == 413
    assert ask("/gradio_api/upload", "POST", b" " * 900)[0] == 200
    assert ask("/gradio_api/upload", "POST", b" " * 1001)[0] == 499


@pytest.mark.parametrize("address", ["http://169.254.169.254/", " https://example.com/a.png", "ftp://x/y"])
def test_files_are_uploaded_and_never_fetched(address: str) -> None:
    body = json.dumps({"data": [{"path": address, "meta": {"_type": "gradio.FileData"}}]}).encode()
    assert ask("/gradio_api/queue/join", "POST", body)[0] == 403


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff{}", b"[" * 100_000, b"[]", b'"x"', b"5", b"null", b'{"data": NaN}', b'{"data": 1' + b"0" * 5000 + b"}",
     b'{"a": "\xe9"}', '{"data": []}'.encode("utf-16"), b"\xef\xbb\xbf{}", b'{"data": []} {}'],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/cancel"])
def test_what_is_no_json_object_gets_no_further(path: str, body: bytes) -> None:
    assert ask(path, "POST", body) == (400, b"")


def test_json_is_to_be_called_json() -> None:
    path, body = "/gradio_api/queue/join", b'{"data": []}'
    assert ask(path, "POST", body, content_type="application/json; charset=utf-8") == (200, body)
    for kind in ("text/plain", "", "multipart/form-data; boundary=a", "application/x-www-form-urlencoded"):
        assert ask(path, "POST", body, content_type=kind)[0] == 400
        assert ask("/login", "POST", body, content_type=kind) == (200, body)


def test_sessions_are_named_as_browsers_and_programs_name_them() -> None:
    def named(session: Any) -> int:
        return ask("/gradio_api/queue/join", "POST", json.dumps({"data": [], "session_hash": session}).encode())[0]

    for session in ("8ssq5q2x3b", str(uuid4()), None):
        assert named(session) == 200
    for session in ("", "a<gradio-sep>b", "../x", "a b", "é", "\ud800", "x" * 65, 5, ["a"], True):
        assert named(session) == 400
    assert ask(f"/gradio_api/heartbeat/{uuid4()}")[0] == 200
    assert ask("/gradio_api/heartbeat/a<gradio-sep>b")[0] == 404


def test_odd_headers_and_methods_are_answered() -> None:
    assert ask("/", host="[")[0] == 403
    assert ask("/gradio_api/queue/join", "POST", origin="http://[")[0] == 403
    assert ask("/gradio_api/queue/join", "POST", content_length="²")[0] == 413
    assert ask("/gradio_api/queue/join", "DELETE")[0] == 405


@pytest.mark.parametrize(
    "path", ["/config", "/gradio_api/heartbeat/abc", "/gradio_api/queue/join", "/gradio_api/user", "/gradio_api/file=a"]
)
def test_a_password_closes_all_but_what_asks_for_it(path: str) -> None:
    for admitted in (True, False):
        gate = {"admits": lambda _, admitted=admitted: admitted}
        assert ask(path, gate=gate)[0] == (200 if admitted else 401)
        for asking in ("/", "/login", "/assets/index.js", "/theme.css"):
            assert ask(asking, gate=gate)[0] == 200
