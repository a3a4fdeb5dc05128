"""The server as a program sees it that does not keep to the page: what it gives away, and what brings it down."""

from __future__ import annotations

import http.client
import json
import random
import string
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the page needs Gradio")

import httpx

from backbones.errors import EditRealError
from editing.settings import split_settings
from studio.web.gate import MOST_BYTES
from studio.web.models import Models
from studio.web.serve import MOST_UPLOAD, Door, check_door, running
from tests.editing.edits import picture
from tests.studio.web.conftest import Served
from tests.studio.web.visitor import CAPTION, DRAFT, MODEL, NEW

TIMES = 200
SECRET = "the text of a file that is nobody's business"
GETS = (
    "/gradio_api/file={}", "/gradio_api/heartbeat/{}", "/gradio_api/queue/data?session_hash={}", "/gradio_api/info?{}",
    "/gradio_api/upload_progress?upload_id={}", "/gradio_api/call/edit/{}", "/gradio_api/call/mask/{}", "/config?{}",
    "/assets/{}", "/static/{}", "/svelte/{}", "/theme.css?{}", "/login?{}",
)  # fmt: skip
POSTS = (
    "/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/call/edit", "/gradio_api/call/mask",
    "/gradio_api/call/v2/edit", "/gradio_api/call/v2/mask", "/gradio_api/cancel", "/gradio_api/reset",
    "/gradio_api/upload", "/login",
)  # fmt: skip
FORMS = ("/gradio_api/upload", "/login")
"""All others take JSON."""

LOCKED = (
    "/gradio_api/file=/etc/passwd", "/gradio_api/user", "/gradio_api/token",
    "/gradio_api/app_id", "/gradio_api/config", "/gradio_api/queue/data", "/gradio_api/upload_progress",
)  # fmt: skip
"""What else a password is asked for."""

SHOWN_TO_ALL = ("/assets/{}", "/static/{}", "/svelte/{}", "/theme.css?{}", "/login?{}")
"""What the page that asks for a password is made of."""

STREAMS = ("/heartbeat/", "/queue/data", "/upload_progress", "/call/edit/", "/call/mask/")
"""Answers that go on until the asker leaves."""


@pytest.fixture
def outside(served: Served) -> Iterator[httpx.Client]:
    """A program. It takes a new connection each time, since the server hangs up after some refusals."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=served.address, timeout=120, limits=limits) as client:
        yield client


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.png"
    path.write_text(SECRET)
    return path


def upload(client: httpx.Client, content: bytes, name: str = "rose.png") -> str:
    """The place on the server of an uploaded file."""
    answer = client.post("/gradio_api/upload", files={"files": (name, content)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()[0])


def call(client: httpx.Client, data: list[Any], name: str = "edit") -> tuple[str, Any]:
    """What comes of a call of the door for programs: the last event, and what it brings."""
    begun = client.post(f"/gradio_api/call/{name}", json={"data": data})
    if begun.status_code != 200:
        return "refused", begun.text
    event, content = "", ""
    with client.stream("GET", f"/gradio_api/call/{name}/{begun.json()['event_id']}") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                content = line.removeprefix("data: ")
                if event in ("complete", "error"):
                    break
    return event, json.loads(content)


def asked(path: str, settings: Any = DRAFT, model: str = MODEL) -> list[Any]:
    return [{"path": path, "meta": {"_type": "gradio.FileData"}}, CAPTION, NEW, settings, model]


def photo_bytes(tmp_path: Path) -> bytes:
    path = tmp_path / "rose.png"
    Image.fromarray(picture()).save(path)
    return path.read_bytes()


def assert_still_edits(client: httpx.Client, served: Served, tmp_path: Path) -> None:
    """The door gives the bytes that the Python API gives."""
    event, made = call(client, asked(upload(client, photo_bytes(tmp_path))))
    assert event == "complete", made
    inversion, settings = split_settings(DRAFT)
    result = served.api.edit(served.api.invert(tmp_path / "rose.png", CAPTION, inversion), NEW, settings)
    result.save(tmp_path / "of the api.png", overwrite=True)
    got = client.get(f"/gradio_api/file={made[0]['path']}")
    assert got.content == (tmp_path / "of the api.png").read_bytes()


def test_a_program_gets_the_bytes_that_the_api_gives(outside: httpx.Client, served: Served, tmp_path: Path) -> None:
    assert_still_edits(outside, served, tmp_path)


def test_a_photo_that_several_calls_name_is_there_for_all(outside: httpx.Client, tmp_path: Path) -> None:
    """Gradio keeps the same photo once, whoever sends it."""
    path = upload(outside, photo_bytes(tmp_path))
    assert [call(outside, asked(path))[0] for _ in range(3)] == ["complete"] * 3


def test_what_is_refused_reaches_a_program_as_a_sentence(outside: httpx.Client, tmp_path: Path) -> None:
    path = upload(outside, photo_bytes(tmp_path))
    event, content = call(outside, asked(path, settings={"no_such": 1}))
    assert event == "error" and "no_such" in json.dumps(content) and "Traceback" not in json.dumps(content)


def test_no_file_of_this_machine_is_served(outside: httpx.Client, served: Served, secret: Path) -> None:
    up = "../" * 12
    paths = [
        str(secret), "/etc/passwd", f"{served.folder}/{up}etc/passwd", f"{served.folder}/..%2f..%2fetc/passwd",
        f"{served.folder}{up}{secret}", "pyproject.toml", "./pyproject.toml", str(Path("pyproject.toml").resolve()),
        str(served.folder), f"{served.folder}/", "/proc/self/environ", f"file://{secret}",
        f"http://127.0.0.1/{secret}", "..\\..\\etc\\passwd", f"{served.folder}/%00{secret}", "//etc/passwd",
        ".git/config", str(Path.home() / ".bashrc"),
    ]  # fmt: skip
    for path in paths:
        for prefix in ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/", "/assets/", "/svelte/"):
            answer = outside.get(f"{prefix}{path}")
            assert answer.status_code in (400, 403, 404, 405, 422), (prefix, path, answer.status_code, answer.text)
            assert SECRET not in answer.text and "root:" not in answer.text and "[project]" not in answer.text


def test_no_path_is_taken_for_a_photo(outside: httpx.Client, served: Served, secret: Path, tmp_path: Path) -> None:
    """Neither a file of this machine nor one beside the server; and none of them is removed, as an upload is."""
    image = tmp_path / "mine.png"
    image.write_bytes(photo_bytes(tmp_path))
    here = Path("CHANGELOG.md").resolve()
    for path in (secret, image, here, Path("/etc/passwd"), f"{served.folder}/../{image}", "https://example.com/a.png"):
        event, content = call(outside, asked(str(path)))
        assert event in ("error", "refused"), (path, content)
        assert SECRET not in str(content)
    assert secret.exists() and image.exists() and here.exists()


def test_masks_are_not_read_from_paths(outside: httpx.Client, secret: Path, tmp_path: Path) -> None:
    path = upload(outside, photo_bytes(tmp_path))
    event, content = call(outside, asked(path, settings={**DRAFT, "include_mask": str(secret)}))
    assert event == "error" and "include_mask" in json.dumps(content)


def test_what_another_visitor_has_cannot_be_asked_for(outside: httpx.Client, served: Served, tmp_path: Path) -> None:
    """Names are all that opens a file; no answer tells one visitor's to another."""
    event, made = call(outside, asked(upload(outside, photo_bytes(tmp_path))))
    assert event == "complete"
    file = Path(made[0]["path"])
    assert len(file.parent.name) >= 32 and file.is_relative_to(served.folder)
    for address in ("/config", "/gradio_api/info", "/", "/gradio_api/startup-events", "/gradio_api/app_id"):
        answer = httpx.get(f"{served.address}{address.lstrip('/')}", timeout=120)
        assert file.parent.name not in answer.text
    for folder in file.parents:
        if folder.is_relative_to(served.folder):
            assert outside.get(f"/gradio_api/file={folder}").status_code in (403, 404)
            assert outside.get(f"/gradio_api/file={folder}/").status_code in (403, 404)
    assert file.parent.stat().st_mode & 0o077 == 0 and served.folder.stat().st_mode & 0o077 == 0


def claimed(address: str, path: str, length: int) -> int:
    """The status that answers a POST of so many bytes, before the first of them is sent."""
    server = http.client.HTTPConnection(httpx.URL(address).host, httpx.URL(address).port, timeout=120)
    server.putrequest("POST", path)
    server.putheader("content-length", str(length))
    server.endheaders()
    status = server.getresponse().status
    server.close()
    return status


def test_large_bodies_are_turned_away(outside: httpx.Client, served: Served, tmp_path: Path) -> None:
    def endless(total: int) -> Iterator[bytes]:
        for _ in range(total // 1_000_000 + 2):
            yield bytes(1_000_000)

    before = {path for path in served.folder.rglob("*") if path.is_file()}
    for path in POSTS:
        most = MOST_UPLOAD + 1_000_000 if path.endswith("upload") else MOST_BYTES
        assert claimed(served.address, path, most + 1) == 413, path
    for path in ("/gradio_api/queue/join", "/gradio_api/call/edit"):
        try:
            unsaid = outside.post(path, content=endless(MOST_BYTES)).status_code
        except httpx.TransportError:  # the server hung up
            continue
        assert unsaid == 413
    large = {"files": ("large.png", bytes(MOST_UPLOAD + 10))}
    assert outside.post("/gradio_api/upload", files=large).status_code == 413
    assert {path for path in served.folder.rglob("*") if path.is_file()} - before == set()
    assert_still_edits(outside, served, tmp_path)


def nonsense(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON value."""
    kinds = [
        lambda: None,
        lambda: chance.choice([True, False]),
        lambda: chance.choice([0, -1, 1e308, 2**63, chance.random()]),
        lambda: "".join(chance.choices(string.printable + "é漢\x00\u202e", k=chance.randrange(40))),
        lambda: chance.choice(["/etc/passwd", "../../x", "<script>", "a" * 5000, "__proto__", "{}", "' OR 1=1 --"]),
        lambda: [nonsense(chance, depth + 1) for _ in range(chance.randrange(4))],
        lambda: {chance.choice(KEYS): nonsense(chance, depth + 1) for _ in range(chance.randrange(5))},
    ]
    return chance.choice(kinds[:5] if depth > 3 else kinds)()


KEYS = ("data", "fn_index", "session_hash", "event_data", "trigger_id", "path", "url", "meta", "event_id", "x", "")


def malformed(chance: random.Random, path: str) -> dict[str, Any]:
    """The arguments of a POST that the page would never make."""
    kind = chance.randrange(5)
    if kind == 0:
        return {"content": chance.randbytes(chance.randrange(300)), "headers": {"content-type": "application/json"}}
    if kind == 1:
        return {"content": b"[" * chance.randrange(1, 5000), "headers": {"content-type": "application/json"}}
    if kind == 2:
        return {"files": {chance.choice(["files", "x"]): (f"../../{chance.random()}.png", chance.randbytes(50))}}
    if kind == 3:
        return {"json": nonsense(chance)}
    body = {"data": [nonsense(chance) for _ in range(chance.randrange(40))], "fn_index": chance.randrange(-1, 40)}
    return {"json": {**body, "session_hash": chance.choice([uuid4().hex, "", "../x", 5, None])}}


@pytest.mark.parametrize("path", POSTS)
def test_malformed_requests_change_nothing(path: str, outside: httpx.Client, served: Served, tmp_path: Path) -> None:
    """200 of them to every endpoint that takes any."""
    chance = random.Random(path)
    for _ in range(TIMES):
        answer = outside.post(path, **malformed(chance, path))
        assert "Traceback" not in answer.text and "site-packages" not in answer.text
        assert answer.status_code < 500 or len(answer.content) < 1000
        if answer.request.headers.get("content-type") != "application/json" and path not in FORMS:
            assert answer.status_code == 400
    assert_still_edits(outside, served, tmp_path)


@pytest.mark.parametrize("session", ["", "a<gradio-sep>b<gradio-sep>c", "a b", "é" * 10, "x" * 65, 5])
def test_a_session_that_gradio_trips_over_does_not_reach_it(
    session: Any, outside: httpx.Client, served: Served, tmp_path: Path
) -> None:
    """Gradio's queue ends for everybody where two events of a session with an empty name wait in it."""
    event = outside.post("/gradio_api/call/edit", json={"data": asked(upload(outside, photo_bytes(tmp_path)))}).json()
    for _ in range(3):
        body = {"data": asked("/nowhere.png"), "session_hash": session}
        for path in ("/gradio_api/call/edit", "/gradio_api/queue/join", "/gradio_api/run/predict"):
            assert outside.post(path, json=body).status_code == 400
    with outside.stream("GET", f"/gradio_api/call/edit/{event['event_id']}") as stream:
        assert "complete" in "".join(stream.iter_text())
    assert_still_edits(outside, served, tmp_path)


@pytest.mark.parametrize("path", GETS)
def test_malformed_addresses_give_nothing_away(path: str, outside: httpx.Client, served: Served) -> None:
    chance = random.Random(path)
    letters = string.ascii_letters + string.digits + "./%-_=&;:~ é"
    for _ in range(TIMES):
        address = path.format("".join(chance.choices(letters, k=chance.randrange(1, 30))))
        if any(part in path for part in STREAMS):
            with suppress(httpx.ReadTimeout), outside.stream("GET", address, timeout=0.05) as answer:
                assert answer.status_code in (200, 307, 400, 403, 404, 422), answer.status_code
            continue
        answer = outside.get(address)
        assert "Traceback" not in answer.text and "site-packages" not in answer.text
    assert outside.get("/").status_code == 200


def test_other_machines_are_asked_for_a_password() -> None:
    with pytest.raises(EditRealError, match="--password or --no-password"):
        check_door("0.0.0.0", None, None, no_password=False)
    assert not check_door("0.0.0.0", None, None, no_password=True).is_local
    assert check_door("0.0.0.0", None, "rose", no_password=False).password == "rose"


def test_without_the_password_nothing_is_served(served: Served) -> None:
    """But for what asks for it."""
    models = Models([MODEL], load=lambda name: served.editor.backbone)
    with running(models, Door(password="rose")) as address, httpx.Client(base_url=address, timeout=120) as client:
        for path in (*(one.format("abc") for one in GETS if one not in SHOWN_TO_ALL), *LOCKED):
            answer = client.get(path, headers={"cookie": "access-token=abc; access-token-unsecure-None="})
            assert answer.status_code == 401, path
        for path in POSTS:
            if path != "/login":
                assert client.post(path, json={"data": []}).status_code == 401, path
        assert "What does the photo show" not in client.get("/").text
        assert client.post("/login", data={"username": "me", "password": "tulip"}).status_code == 400
        assert client.get("/config").status_code == 401
        assert client.post("/login", data={"username": "me", "password": "rose"}).status_code == 200
        assert "What does the photo show" in client.get("/").text
        assert client.get("/config").status_code == 200
        with client.stream("GET", "/gradio_api/heartbeat/abc") as beat:
            assert beat.status_code == 200 and "ALIVE" in next(beat.iter_lines())


def test_nothing_was_fetched_from_elsewhere(outside: httpx.Client, served: Served, tmp_path: Path) -> None:
    assert_still_edits(outside, served, tmp_path)
    assert served.reached <= {"127.0.0.1", "localhost", "::1", "0.0.0.0"}
