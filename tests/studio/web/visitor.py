"""What a visitor does on the page, in a browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator

MODEL = "tiny"
CAPTION, NEW = "a photo of a red rose", "a photo of a red cat"
DRAFT: dict[str, Any] = {"inversion": "direct", "steps": 3, "refinement": "plain"}
"""What `Visitor.draft` sets. The maps of random weights are noise, which GrabCut may well grow to the whole frame."""

PATIENCE = 1000 * int(os.environ.get("PAGE_TEST_PATIENCE", "120"))  # ms; to wait longer costs nothing where all is well
TOLD = """words => {
  const told = document.querySelector('#difference').innerText;
  return words.every((word) => told.includes(word));
}"""
"""Whether the words that differ are those of a new caption."""

SHOTS = Path(os.environ.get("PAGE_TEST_SHOTS", "out/page"))
"""Where screenshots are kept, to be looked at."""


class Visitor:
    """A browser context with the page open.

    Args:
        context: Of playwright.
        address: Of the page.
        password: What the page asks for first, after a wrong one was tried.

    Attributes:
        errors: What went wrong in scripts of the page.
        hosts: All that were asked for anything.
    """

    def __init__(self, context: BrowserContext, address: str, password: str | None = None) -> None:
        self.context, self.errors, self.hosts = context, [], set()
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda request: self._asks(request.url))
        self.page = context.new_page()
        self.page.on("websocket", lambda socket: self._asks(socket.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        if password is not None:
            self._log_in(password + " or so")
            self.page.get_by_text("Incorrect").wait_for()
            self._log_in(password)
        self.one("#edit").wait_for()

    def _log_in(self, password: str) -> None:
        self.page.get_by_label("username").fill("anybody")
        self.page.get_by_label("password").fill(password)
        self.page.get_by_role("button", name="Login").click()

    def _asks(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname)

    def one(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def note(self) -> Locator:
        """The sentence on what happened."""
        return self.one("#note .note")

    def upload(self, path: Path) -> None:
        self.one("#photo-file input[type=file]").set_input_files(path)

    def open(self, path: Path) -> None:
        """A photo, up to where the stage shows it."""
        self.upload(path)
        self.one("#stage img.photo").wait_for()

    def say(self, caption: str = CAPTION, new_caption: str = NEW) -> None:
        """Both captions; the first is copied into the second as one leaves it, unless something stands there."""
        for field, text in (("#caption", caption), ("#new-caption", new_caption)):
            box = self.one(f"{field} textarea")
            box.click()
            box.press("Control+A")
            box.press("Delete")
            box.press_sequentially(text)
            box.press("Tab")
            if field == "#caption" and text.strip():
                self.page.wait_for_function("() => document.querySelector('#new-caption textarea').value !== ''")
        if caption.strip() and new_caption.strip():  # a button that moves when the answer comes is not to be clicked
            self.page.wait_for_function(TOLD, arg=new_caption.split())

    def paste(self, text: str) -> None:
        """Text from the clipboard, where the cursor is."""
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        self.page.keyboard.press("Control+V")

    def paste_picture(self, content: bytes) -> None:
        """A picture from the clipboard, wherever the cursor is; Chromium lets no script put one there as a file."""
        self.page.evaluate(
            """([bytes]) => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
              document.activeElement.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
            }""",
            [list(content)],
        )

    def choose(self, field: str, value: str) -> None:
        """An entry of a list."""
        self.one(f"{field} input").click()
        self.page.get_by_role("option", name=value, exact=True).click()

    def advanced(self) -> None:
        """Unfolds all settings."""
        self.page.get_by_role("button", name="Advanced").click()
        self.one("#set-steps input").first.wait_for()

    def draft(self) -> None:
        """Few steps, as in `DRAFT`; it says nothing of how the steps are set otherwise."""
        self.advanced()
        self.few_steps()

    def few_steps(self) -> None:
        self.choose("#set-inversion", "direct")
        self.one("#set-steps input").first.fill(str(DRAFT["steps"]))
        self.choose("#set-refinement", "plain")

    def edit(self) -> None:
        """Presses Edit and waits until it is done."""
        self.one("#edit").click()
        self.done()

    def done(self) -> None:
        self.one("#note .note.done").wait_for()
        self.one("#edit").wait_for()

    def edits(self) -> Locator:
        """The edits in the strip, without the photo."""
        return self.one("#strip button:not([data-number='0'])")

    def mask(self) -> str:
        """The address of the mask that lies over the photo, `none` without one."""
        return str(self.one("#stage .veil").evaluate("veil => veil.style.maskImage"))

    def new_mask(self, old: str) -> None:
        """Waits for another mask than the old one."""
        self.page.wait_for_function("old => document.querySelector('#stage .veil').style.maskImage !== old", arg=old)

    def stroke(self, tool: str, *points: tuple[float, float]) -> None:
        """A stroke of the brush through points, as shares of the photo's width and height."""
        self.page.get_by_role("button", name="Photo and mask").click()
        button = self.one(f"[data-tool={tool}]")
        if button.get_attribute("aria-pressed") == "false":
            button.click()
        canvas = self.one("#stage canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        for number, (x, y) in enumerate(points):
            self.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
            if number == 0:
                self.page.mouse.down()
        self.page.mouse.up()

    def download(self, kind: str = "PNG") -> bytes:
        """The file of the edit that is shown."""
        if kind != "PNG":
            self.choose("#format", kind)
        with self.page.expect_download() as caught:
            self.one("#download").click()
        return Path(caught.value.path()).read_bytes()

    def shoot(self, name: str) -> None:
        """Keeps a picture of the whole page."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
