from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from studio.web.gate import MOST_BYTES, Gate


def ask(
    path: str, method: str = "GET", body: bytes = b"", *, gate: dict[str, Any] | None = None, **headers: str
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

    told = {"host": "127.0.0.1:7860", **headers}
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


def test_what_is_no_json_is_left_to_the_server() -> None:
    assert ask("/gradio_api/queue/join", "POST", b"\xff{")[0] == 200
    assert ask("/gradio_api/queue/join", "POST", b"[" * 100_000)[0] == 200
