"""The page on a phone, and for people who use other senses: every control can be reached, read and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="tests in a browser need playwright")

from playwright.sync_api import expect

from tests.editing.edits import picture
from tests.studio.web.visitor import PATIENCE, Visitor

expect.set_options(timeout=PATIENCE)

PHONE = {"viewport": {"width": 375, "height": 667}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
CONTROLS = "button:visible:enabled, input:visible:enabled:not([type=file]), textarea:visible:enabled, select:visible"

SETTLED = """() => {
  for (let one = document.querySelector('#note .note'); one; one = one.parentElement)
    if (getComputedStyle(one).opacity !== '1') return false;
  return document.getAnimations().every((animation) => animation.playState !== 'running');
}"""
"""Whether all has faded in; a colour on its way is not one to judge."""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "rose.png"
    Image.fromarray(picture(80, 60)).save(path)
    return path


def assert_fits(visitor: Visitor) -> None:
    """Nothing is wider than the screen, and every control takes a tap."""
    wide = visitor.page.evaluate("() => [document.scrollingElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1], f"the page is {wide[0]} pixels wide on a screen of {wide[1]}"
    controls = visitor.one(CONTROLS)
    for number in range(controls.count()):
        control = controls.nth(number)
        control.click(trial=True)  # scrolls there, and minds what lies over it
        box = control.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= wide[1] + 1, control.inner_html()


def test_a_phone(arrive: Callable[..., Visitor], photo: Path) -> None:
    visitor = arrive(**PHONE)
    assert_fits(visitor)
    visitor.shoot("phone-start")
    visitor.open(photo)
    visitor.say()
    visitor.draft()
    assert_fits(visitor)
    visitor.page.get_by_role("button", name="Advanced").click()
    visitor.edit()
    assert_fits(visitor)
    visitor.shoot("phone-edited")
    visitor.page.get_by_role("button", name="Photo and mask").tap()
    before = visitor.mask()
    visitor.one("[data-tool=protect]").tap()
    visitor.one("#stage canvas").tap()
    visitor.new_mask(before)
    visitor.shoot("phone-brush")
    assert visitor.download()


def faults(visitor: Visitor) -> list[str]:
    """Serious and critical faults that axe finds."""
    visitor.page.wait_for_function(SETTLED)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    found = axe.Axe().run(visitor.page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(scheme: str, arrive: Callable[..., Visitor], photo: Path) -> None:
    visitor = arrive(color_scheme=scheme, viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    assert visitor.one("body").evaluate("body => body.classList.contains('dark')") == (scheme == "dark")
    assert faults(visitor) == []
    visitor.open(photo)
    visitor.say()
    visitor.draft()
    assert faults(visitor) == []
    visitor.edit()
    assert faults(visitor) == []
    visitor.page.get_by_role("button", name="Words").click()
    visitor.page.get_by_role("button", name="The same from a terminal").click()
    assert faults(visitor) == []
    visitor.shoot(f"desk-{scheme}")
    visitor.one("#caption textarea").fill("")
    visitor.one("#edit").click()
    expect(visitor.page.get_by_role("alert")).to_be_visible()
    assert faults(visitor) == []
