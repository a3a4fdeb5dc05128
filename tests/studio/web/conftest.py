"""The page, served over a tiny model, and a real browser that looks at it.

Each worker that gets tests of the page has a server of its own for all of them.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backbones.loading import load_backbone
from editing.editor import Editor
from studio.web.models import Models
from tests.conftest import WHOLE_WORDS, write_pipeline
from tests.studio.web.visitor import MODEL, Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

QUIET_BROWSER = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass(frozen=True)
class Served:
    """A page that is served by this process.

    Attributes:
        address: Of the page, with a slash at its end.
        folder: Where the server keeps its files.
        editor: What the page edits with.
        api: Another editor over the same model, whose inversions are not noted.
        inversions: Captions of the inversions that were made.
        reached: Hosts that this process has asked for.
    """

    address: str
    folder: Path
    editor: Editor
    api: Editor
    inversions: list[str] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)

    @contextmanager
    def calls(self, go_on: threading.Event, after: int) -> Iterator[list[None]]:
        """A list that grows with every call of the model's UNet, which waits for `go_on` after some of them."""
        made: list[None] = []

        def called(*_: Any) -> None:
            made.append(None)
            if len(made) > after:
                go_on.wait()

        hook = self.editor.backbone.denoiser.register_forward_pre_hook(called)
        try:
            yield made
        finally:
            go_on.set()
            hook.remove()


def counted(editor: Editor, inversions: list[str]) -> None:
    """Notes the caption of every inversion that the editor makes."""
    invert = editor.invert

    def noted(photo: Any, caption: str, *rest: Any, **more: Any) -> Any:
        inversions.append(caption)
        return invert(photo, caption, *rest, **more)

    editor.invert = noted  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def reached() -> set[str]:
    """Addresses beyond this machine that Python asks for from now on."""
    beyond: set[str] = set()

    def hear(event: str, args: tuple[Any, ...]) -> None:  # an audit hook stays for good, and must be cheap
        if event == "socket.connect" and isinstance(args[1], tuple):
            beyond.add(str(args[1][0]))
        elif event == "socket.getaddrinfo":
            beyond.add(str(args[0]))

    sys.addaudithook(hear)
    return beyond


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, reached: set[str]) -> Iterator[Served]:
    """The page over a tiny model with random weights."""
    pytest.importorskip("gradio", reason="the page needs Gradio")
    from studio.web.serve import running

    folder = write_pipeline(tmp_path_factory.mktemp("page") / MODEL, "epsilon")
    tiny = replace(load_backbone(folder, device="cpu"), known_words=frozenset(WHOLE_WORDS))
    models = Models([MODEL], load=lambda name: tiny)
    editor, inversions = models.editor(MODEL), []
    counted(editor, inversions)
    with running(models) as address:
        yield Served(address, Path(os.environ["GRADIO_TEMP_DIR"]), editor, Editor(tiny), inversions, reached)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. It is closed with the module, since other tests have event loops of their own."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="tests in a browser need playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("tests in a browser need Chromium: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=QUIET_BROWSER)
        yield started
        started.close()


@pytest.fixture
def arrive(served: Served, browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Lets a visitor arrive; afterwards no script may have failed, and nothing beyond this machine been asked for."""
    visitors: list[Visitor] = []

    def arrived(**context: Any) -> Visitor:
        visitors.append(Visitor(browser.new_context(**context), served.address))
        return visitors[-1]

    yield arrived
    for visitor in visitors:
        visitor.context.close()
    assert [error for visitor in visitors for error in visitor.errors] == []
    assert {host for visitor in visitors for host in visitor.hosts} <= {"127.0.0.1"}


@pytest.fixture
def visitor(arrive: Callable[..., Visitor]) -> Visitor:
    """A visitor at a desk."""
    return arrive(viewport={"width": 1280, "height": 900})
