"""Many edits on the page by several visitors at once, in a real browser.

    python -m benchmarks.page_soak --edits 50 --steps 4

serves the page with one model, lets four browser contexts edit a photo each at the same time, and compares every
download with the bytes that the Python API saves of the same edit. It prints the memory of the process after every
round, and what is left of the visitors' files some minutes after they are gone. It fails where an edit is another than
the API's, where memory still grows in the second half, and where a file is left. Needs Chromium and
`pip install '.[dev]'`.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from PIL import Image
from sklearn.datasets import load_sample_image

from backbones.errors import EditRealError
from editing.editor import Editor
from editing.settings import InversionSettings
from inversion.trajectory import Trajectory
from studio.web.models import Models
from studio.web.serve import running
from workshop.command import run_command

CAPTION = "a photo of an orange flower"
COLOURS = ("pink", "white", "red", "purple", "yellow", "blue")
PATIENCE = 1_800_000  # ms
MIB = 2**20
MOST_GROWTH = 0.1  # of memory over the second half


@dataclass
class Visitor:
    """One browser context, the photo in it, and what the API makes of that photo.

    Attributes:
        page: Of playwright.
        photo: The file.
        trajectory: The API's inversion of it.
        expected: The bytes of the API's edits, by new caption.
    """

    page: Any
    photo: Path
    trajectory: Trajectory
    expected: dict[str, bytes] = field(default_factory=dict)

    def arrive(self, address: str, settings: InversionSettings) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.goto(address)
        self.page.get_by_role("button", name="Advanced").click()
        self.page.locator("#set-inversion input").click()
        self.page.get_by_role("option", name=settings.inversion, exact=True).click()
        self.page.locator("#set-steps input").first.fill(str(settings.steps))
        self.page.locator("#photo-file input[type=file]").set_input_files(self.photo)
        self.page.locator("#stage img.photo").wait_for()
        self._type("#caption", CAPTION)

    def ask(self, new_caption: str) -> None:
        """Presses Edit, and does not wait for what comes of it."""
        self._type("#new-caption", new_caption)
        told = "text => document.querySelector('#difference').innerText.includes(text)"
        self.page.wait_for_function(told, arg=new_caption.split()[-2])  # the button moves when the answer comes
        self.page.locator("#edit").click()

    def receive(self, number: int) -> bytes:
        """The file of the visitor's edit of that number, as soon as it is made."""
        self.page.locator(f"#strip button[data-number='{number}'][aria-pressed=true]").wait_for()
        self.page.locator("#note .note.done").wait_for()
        with self.page.expect_download() as caught:
            self.page.locator("#download").click()
        return Path(caught.value.path()).read_bytes()

    def expect(self, editor: Editor, new_caption: str) -> bytes:
        if new_caption not in self.expected:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "edit.png"
                editor.edit(self.trajectory, new_caption, photo=self.photo).save(path)
                self.expected[new_caption] = path.read_bytes()
        return self.expected[new_caption]

    def _type(self, field_id: str, text: str) -> None:
        box = self.page.locator(f"{field_id} textarea")
        box.click()
        box.press("Control+A")
        box.press_sequentially(text)
        box.press("Tab")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser.

    Raises:
        EditRealError: There is none.
    """
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise EditRealError("the soak needs Chromium; apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def photos(folder: Path, count: int) -> Iterator[Path]:
    """The flower, turned another way in each file."""
    flower = load_sample_image("flower.jpg")[::2, ::2]
    for number in range(count):
        path = folder / f"flower {number}.png"
        Image.fromarray(np.roll(np.rot90(flower, number % 4), 7 * (number // 4), 1).copy()).save(path)
        yield path


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def left_over(folder: Path, before: set[Path], linger: float) -> set[Path]:
    """What visitors have left, once nothing is, or after `linger` seconds."""
    deadline = time.monotonic() + linger
    while (left := files(folder) - before) and time.monotonic() < deadline:
        time.sleep(5)
    return left


def edit_in_rounds(visitors: list[Visitor], editor: Editor, edits: int) -> tuple[int, list[float]]:
    """Lets all visitors edit at once, round by round.

    Returns:
        How many results were wrong, and the memory of the process in MiB after each round.
    """
    wrong, made, process, memory = 0, 0, psutil.Process(), []
    print("edits  seconds  wrong  memory in MiB")
    while made < edits:
        turn, number = made, made // len(visitors) + 1
        asked = visitors[: edits - made]
        words = [COLOURS[(number + place) % len(COLOURS)] for place in range(len(asked))]
        started = time.perf_counter()
        for visitor, word in zip(asked, words, strict=True):
            visitor.ask(CAPTION.replace("an orange", f"a {word}"))
        got = [visitor.receive(number) for visitor in asked]
        seconds = time.perf_counter() - started
        for visitor, word, content in zip(asked, words, got, strict=True):
            wrong += content != visitor.expect(editor, CAPTION.replace("an orange", f"a {word}"))
            Image.open(io.BytesIO(content)).verify()
        made = turn + len(asked)
        memory.append(process.memory_info().rss / MIB)
        print(f"{made:5d}  {seconds:7.1f}  {wrong:5d}  {memory[-1]:13.0f}", flush=True)
    return wrong, memory


def soak(
    edits: Annotated[int, typer.Option(help="how many, all visitors together")] = 50,
    visitors: Annotated[int, typer.Option(help="browser contexts that edit at once")] = 4,
    steps: Annotated[int, typer.Option(help="of the inversions, which are direct ones, and of the edits")] = 20,
    model: Annotated[str, typer.Option(help="'bundled', a folder or a hub id")] = "bundled",
    linger: Annotated[float, typer.Option(help="seconds to wait for the files of visitors who left")] = 420,
) -> None:
    """Edits on the page by several visitors at once; checks every result, memory and what stays on the disk."""
    models, settings = Models([model]), InversionSettings(inversion="direct", steps=steps)
    api = Editor(models.editor(model).backbone)
    with tempfile.TemporaryDirectory() as own, running(models) as address, chromium() as browser:
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        before = files(folder)
        print(f"inverting {visitors} photos for the comparison", flush=True)
        here = [
            Visitor(browser.new_page(), photo, api.invert(photo, CAPTION, settings))
            for photo in photos(Path(own), visitors)
        ]
        for visitor in here:
            visitor.arrive(address, settings)
        wrong, memory = edit_in_rounds(here, api, edits)
        for visitor in here:
            visitor.page.context.close()
        left = left_over(folder, before, linger)
    growth = memory[-1] / memory[len(memory) // 2] - 1
    print(f"{edits} edits by {visitors} visitors, {wrong} of them other than the API's")
    print(f"memory grew by {growth:.1%} over the second half, to {memory[-1]:.0f} MiB")
    print(f"{len(left)} files left by the visitors; folder {'still there' if folder.exists() else 'gone'} at the end")
    if wrong or left or folder.exists() or growth > MOST_GROWTH:
        raise EditRealError("expected no wrong edit, level memory and nothing left behind; see above")


if __name__ == "__main__":
    run_command(soak)
