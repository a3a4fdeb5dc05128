"""The page in a real browser: what a visitor does and sees."""

from __future__ import annotations

import io
import re
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="tests in a browser need playwright")

from playwright.sync_api import Browser, expect

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from editing.recipe import read_recipe
from editing.settings import split_settings
from studio.web import words
from studio.web.models import Models
from studio.web.serve import Door, running
from tests.editing.edits import picture
from tests.studio.web.conftest import Served
from tests.studio.web.visitor import CAPTION, DRAFT, MODEL, NEW, PATIENCE, Visitor

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small photo."""
    path = tmp_path / "rose.png"
    Image.fromarray(picture()).save(path)
    return path


@pytest.fixture
def drafting(visitor: Visitor, photo: Path) -> Visitor:
    """A visitor whose photo and words are there, and whose settings are quick."""
    visitor.open(photo)
    visitor.say()
    visitor.draft()
    return visitor


@pytest.fixture
def api(served: Served, tmp_path: Path) -> Callable[..., bytes]:
    """The file that the Python API saves of the same edit."""

    def saved(photo: Path, caption: str = CAPTION, new: str = NEW, kind: str = ".png", **options: Any) -> bytes:
        inversion, settings = split_settings({**DRAFT, **options})
        result = served.api.edit(served.api.invert(photo, caption, inversion), new, settings)
        path = tmp_path / f"of the api{kind}"
        result.save(path, overwrite=True)
        return path.read_bytes()

    return saved


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def rows(top: float, bottom: float) -> list[tuple[float, float]]:
    """The way of a brush that leaves no gap from one height to another."""
    return [(x, top + (bottom - top) * row / 20) for row in range(21) for x in (0.03, 0.97)]


def test_a_download_has_the_bytes_that_the_api_gives(drafting: Visitor, photo: Path, api: Callable[..., bytes]) -> None:
    expect(drafting.one("#difference ins")).to_have_text("cat")
    expect(drafting.one("#difference del")).to_have_text("rose")
    drafting.edit()
    expect(drafting.one("#verdict .lead")).to_contain_text("was edited")
    expect(drafting.one("[data-view=compare]")).to_have_attribute("aria-pressed", "true")
    drafting.shoot("desk-edited")
    made = drafting.download()
    assert made == api(photo)
    assert np.asarray(opened(made)).shape == picture().shape and (np.asarray(opened(made)) != picture()).any()
    assert drafting.download("JPEG") == api(photo, kind=".jpg")


def test_a_large_photo_that_lies_on_its_side(visitor: Visitor, tmp_path: Path, api: Callable[..., bytes]) -> None:
    """12 megapixels, as a phone saves them: turned by EXIF, with the time in it."""
    small = Image.fromarray(picture(60, 80))
    exif = Image.Exif()
    exif[0x0112], exif[0x0132] = 6, "2024:05:01 10:00:00"
    large = tmp_path / "IMG_0001.jpg"
    small.resize((4000, 3000), Image.Resampling.BICUBIC).save(large, quality=85, exif=exif)
    visitor.open(large)
    assert visitor.one("#stage canvas").evaluate("canvas => [canvas.width, canvas.height]") == [750, 1000]
    visitor.say()
    visitor.draft()
    visitor.edit()
    made = visitor.download("JPEG")
    with opened(made) as image:
        assert image.size == (3000, 4000)
        assert image.getexif()[0x0132] == exif[0x0132] and image.getexif().get(0x0112, 1) == 1
    assert made == api(large, kind=".jpg")


def test_later_edits_make_no_new_inversion(drafting: Visitor, served: Served) -> None:
    before = len(served.inversions)
    drafting.edit()
    for number, new in ((2, "a photo of a green rose"), (3, "a photo of a red dog")):
        drafting.say(new_caption=new)
        drafting.edit()
        expect(drafting.edits()).to_have_count(number)
    assert served.inversions[before:] == [CAPTION]
    drafting.say(caption="a photo of a rose", new_caption="a photo of a cat")
    drafting.edit()
    expect(drafting.edits()).to_have_count(4)
    assert served.inversions[before:] == [CAPTION, "a photo of a rose"]


def test_the_mask_is_shown_before_the_edit_and_follows_the_brush(
    drafting: Visitor, photo: Path, served: Served, api: Callable[..., bytes]
) -> None:
    before = len(served.inversions)
    drafting.one("#look").click()
    expect(drafting.note()).to_contain_text("Lit is what the edit will reach")
    first = drafting.mask()
    assert first != "none"
    drafting.shoot("desk-mask")
    drafting.stroke("protect", (0.0, 0.25), (1.0, 0.25))
    drafting.new_mask(first)
    protected = drafting.mask()
    drafting.shoot("desk-brush")
    drafting.edit()
    assert len(served.inversions) == before + 1
    after, untouched = np.asarray(opened(drafting.download())), picture()
    assert np.array_equal(after[12], untouched[12]) and (after != untouched).any()
    assert not np.array_equal(np.asarray(opened(api(photo)))[12], untouched[12]), "the stroke made no difference"
    drafting.page.get_by_role("button", name="Photo and mask").click()
    drafting.page.get_by_role("button", name="Undo stroke").click()
    drafting.new_mask(protected)


def test_a_stroke_adds_to_the_mask(drafting: Visitor) -> None:
    drafting.stroke("protect", *rows(0.03, 0.97))
    drafting.stroke("add", (0.4, 0.5), (0.6, 0.5))
    drafting.edit()
    after, untouched = np.asarray(opened(drafting.download())), picture()
    changed = (after != untouched).any(-1)
    assert changed[:, 16:24].any() and not changed[:, :6].any() and not changed[:, -6:].any()


def test_a_protected_word(drafting: Visitor, photo: Path, api: Callable[..., bytes]) -> None:
    drafting.page.get_by_role("button", name="red: protect this word").click()
    expect(drafting.page.get_by_role("button", name="red: protected")).to_have_attribute("aria-pressed", "true")
    drafting.edit()
    made = drafting.download()
    assert made == api(photo, protect_words=("red",))
    assert made != api(photo)


def test_the_strength_of_a_word(drafting: Visitor, photo: Path, api: Callable[..., bytes]) -> None:
    strength = drafting.one("#weight-0 input[type=number]")
    expect(drafting.one("#weight-0")).to_contain_text("Strength of “cat”")
    strength.fill("4")
    strength.press("Tab")
    drafting.edit()
    assert drafting.download() == api(photo, reweight={"cat": 4.0})


@pytest.mark.parametrize(("typed", "taken"), [("9", 4.0), ("", 0.0)])
def test_a_strength_beyond_its_slider_is_what_the_slider_shows(
    drafting: Visitor, photo: Path, api: Callable[..., bytes], typed: str, taken: float
) -> None:
    strength = drafting.one("#weight-0 input[type=number]")
    strength.fill(typed)
    strength.press("Tab")
    expect(strength).to_have_value(f"{taken:g}")
    drafting.edit()
    assert drafting.download() == api(photo, reweight={"cat": taken})


def test_a_slider_that_moves_before_an_answer_comes_stays_where_it_is(
    drafting: Visitor, photo: Path, api: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on, difference = threading.Event(), threading.Event(), words.difference

    def late(*what: Any) -> str:
        asked.set()
        assert go_on.wait(60)
        return difference(*what) + "<i>late</i>"

    monkeypatch.setattr(words, "difference", late)
    drafting.one("#set-steps input").first.fill("4")
    assert asked.wait(60)
    strength = drafting.one("#weight-0 input[type=number]")
    strength.fill("3")
    strength.press("Tab")
    go_on.set()
    expect(drafting.one("#difference")).to_contain_text("late")
    expect(strength).to_have_value("3")
    drafting.edit()
    assert drafting.download() == api(photo, reweight={"cat": 3.0}, steps=4)


def test_a_number_that_cannot_be_is_told_in_a_sentence_and_edit_comes_back(drafting: Visitor) -> None:
    drafting.one("#set-steps input").first.fill("0")
    drafting.one("#edit").click()
    expect(drafting.note()).to_contain_text("Expected steps as a whole number of 1 or more, got 0")
    expect(drafting.one("#edit")).to_be_visible()
    expect(drafting.one("#cancel")).to_be_hidden()
    drafting.one("#set-steps input").first.fill("3")
    drafting.edit()


def test_a_kind_can_be_left_to_the_captions_again(drafting: Visitor, photo: Path, api: Callable[..., bytes]) -> None:
    drafting.choose("#set-kind", "scene")
    drafting.choose("#set-kind", "what the captions tell")
    drafting.edit()
    assert drafting.download() == api(photo)


def test_another_photo_is_not_dropped_on_edits_by_accident(drafting: Visitor, photo: Path) -> None:
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.message)
        (dialog.accept if len(asked) > 1 else dialog.dismiss)()

    drafting.page.on("dialog", answer)
    drafting.edit()
    drafting.paste_picture(photo.read_bytes())
    expect(drafting.edits()).to_have_count(1)
    assert len(asked) == 1 and "its edits" in asked[0]
    drafting.paste_picture(photo.read_bytes())
    expect(drafting.edits()).to_have_count(0)


def test_a_preset_reaches_words_whose_sliders_are_left_alone(
    drafting: Visitor, photo: Path, api: Callable[..., bytes]
) -> None:
    drafting.choose("#preset", "Stronger")
    expect(drafting.one("#set-emphasis input").first).to_have_value("3")
    expect(drafting.one("#weight-0 input[type=number]")).to_have_value("3")
    drafting.few_steps()
    drafting.edit()
    assert drafting.download() == api(photo, emphasis=3, cross_replace=0.4)


def test_a_preset_can_be_chosen_again_and_is_that_of_the_settings(drafting: Visitor) -> None:
    emphasis = drafting.one("#set-emphasis input").first
    for _ in range(2):
        drafting.choose("#preset", "Gentler")
        expect(emphasis).to_have_value("1")
        emphasis.fill("3.5")
    drafting.few_steps()
    drafting.edit()
    drafting.edits().first.click()
    expect(drafting.one("#preset input")).to_have_value("")


def test_undo_and_redo(drafting: Visitor) -> None:
    drafting.edit()
    first = drafting.download()
    drafting.say(new_caption="a photo of a green dog")
    drafting.edit()
    second = drafting.download()
    assert first != second
    expect(drafting.one("#redo")).to_be_disabled()
    drafting.one("#undo").click()
    expect(drafting.one("#new-caption textarea")).to_have_value(NEW)
    expect(drafting.edits().first).to_have_attribute("aria-pressed", "true")
    assert drafting.download() == first
    drafting.one("#undo").click()
    expect(drafting.one("#strip button[data-number='0']")).to_have_attribute("aria-pressed", "true")
    expect(drafting.one("#undo")).to_be_disabled()
    drafting.one("#redo").click()
    expect(drafting.edits().first).to_have_attribute("aria-pressed", "true")
    drafting.one("#redo").click()
    expect(drafting.one("#new-caption textarea")).to_have_value("a photo of a green dog")
    assert drafting.download() == second
    drafting.edits().first.click()
    expect(drafting.one("#new-caption textarea")).to_have_value(NEW)
    assert drafting.download() == first


def test_cancel_stops_the_model(drafting: Visitor, served: Served) -> None:
    steps, go_on = 900, threading.Event()
    drafting.one("#set-steps input").first.fill(str(steps))
    with served.calls(go_on, after=5) as calls:
        drafting.one("#edit").click()
        expect(drafting.one("#note")).to_contain_text("Looking at the photo")
        drafting.shoot("desk-progress")
        drafting.one("#cancel").click()
        expect(drafting.note()).to_contain_text("Stopped")
        expect(drafting.one("#cancel")).to_be_hidden()
        expect(drafting.edits()).to_have_count(0)
        go_on.set()
        drafting.one("#set-steps input").first.fill("3")
        drafting.page.wait_for_timeout(2000)  # the page takes a number a moment after it is typed
        drafting.edit()  # the model serves one at a time: what was stopped is over
    assert 5 < len(calls) < steps


def test_cancel_stays_while_the_model_works(drafting: Visitor, served: Served) -> None:
    """Whatever else is done on the page meanwhile."""
    drafting.edit()
    go_on = threading.Event()
    with served.calls(go_on, after=1):
        drafting.say(new_caption="a photo of a green rose")
        drafting.one("#edit").click()
        drafting.one("#cancel").wait_for()
        drafting.one("#undo").click()
        expect(drafting.one("#strip button[data-number='0']")).to_have_attribute("aria-pressed", "true")
        expect(drafting.one("#cancel")).to_be_visible()
        expect(drafting.one("#edit")).to_be_hidden()
        go_on.set()
        expect(drafting.edits()).to_have_count(2)
    expect(drafting.one("#cancel")).to_be_hidden()
    expect(drafting.one("#edit")).to_be_visible()


def test_a_file_that_cannot_keep_its_settings_says_so(drafting: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbones.xmp.MOST_BYTES_IN_JPEG", 100)
    drafting.edit()
    assert drafting.download("JPEG")
    expect(drafting.note()).to_contain_text("The recipe is not kept in the file: JPEG has room for 100 bytes")


def test_two_visitors_edit_at_once(arrive: Callable[..., Visitor], tmp_path: Path, api: Callable[..., bytes]) -> None:
    words = [(CAPTION, NEW), ("a photo of a cat on a table", "a photo of a dog on a table")]
    visitors, photos = [], []
    for number, (caption, new) in enumerate(words):
        photos.append(tmp_path / f"photo {number}.png")
        Image.fromarray(picture(48 + 8 * number, 40, seed=number)).save(photos[-1])
        visitors.append(arrive())
        visitors[-1].open(photos[-1])
        visitors[-1].say(caption, new)
        visitors[-1].draft()
    for visitor in visitors:
        visitor.one("#edit").click()
    for visitor, photo, (caption, new) in zip(visitors, photos, words, strict=True):
        visitor.done()
        expect(visitor.edits()).to_have_count(1)
        assert visitor.download() == api(photo, caption, new)


def test_a_downloaded_file_recalls_its_settings(
    drafting: Visitor, arrive: Callable[..., Visitor], tmp_path: Path, photo: Path
) -> None:
    drafting.one("#set-emphasis input").first.fill("3.5")
    drafting.stroke("protect", (0.0, 0.1), (1.0, 0.1))
    drafting.edit()
    made = tmp_path / "made.png"
    made.write_bytes(drafting.download())
    later = arrive()
    later.upload(made)
    expect(later.one("#caption textarea")).to_have_value(CAPTION)
    expect(later.one("#new-caption textarea")).to_have_value(NEW)
    expect(later.note()).to_contain_text("its words and settings are back")
    later.advanced()
    expect(later.one("#set-emphasis input").first).to_have_value("3.5")
    expect(later.one("#set-steps input").first).to_have_value("3")
    expect(later.one("#set-inversion input").first).to_have_value("direct")
    later.open(photo)
    later.edit()
    assert later.download() == made.read_bytes()
    plain = tmp_path / "plain.png"
    later.one("#recipe input").uncheck()
    plain.write_bytes(later.download())
    assert read_recipe(plain) is None
    assert np.array_equal(np.asarray(opened(plain.read_bytes())), np.asarray(opened(made.read_bytes())))


def test_a_mask_is_saved_and_loaded(drafting: Visitor) -> None:
    drafting.stroke("protect", *rows(0.03, 0.5))
    with drafting.page.expect_download() as caught:
        drafting.page.get_by_role("button", name="Save mask").click()
    mask = Path(caught.value.path()).read_bytes()
    assert opened(mask).size == picture().shape[1::-1]
    assert not np.asarray(opened(mask).convert("L"))[:20].any()
    drafting.page.get_by_role("button", name="Clear brush").click()
    turned = np.zeros(picture().shape[:2], np.uint8)
    turned[:20] = 255
    path = Path(caught.value.path()).with_name("mask.png")
    Image.fromarray(turned).save(path)
    with drafting.page.expect_file_chooser() as chooser:
        drafting.page.get_by_role("button", name="Load mask").click()
    chooser.value.set_files(path)
    expect(drafting.note()).to_contain_text("The mask is loaded")
    drafting.edit()
    changed = (np.asarray(opened(drafting.download())) != picture()).any(-1)
    assert changed[:18].any() and not changed[22:].any()


def bomb(path: Path) -> Path:
    """A PNG of 900 megapixels, all black, in 110 kilobytes."""
    width = height = 30_000

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    packer, row = zlib.compressobj(9), bytes(1 + width // 8)
    packed = b"".join([*(packer.compress(row * 100) for _ in range(height // 100)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    return path


def test_what_is_no_photo_is_refused_in_a_sentence(visitor: Visitor, tmp_path: Path, photo: Path) -> None:
    fake = tmp_path / "fake.jpg"
    fake.write_text("this is no picture")
    cut = tmp_path / "cut.png"
    cut.write_bytes(photo.read_bytes()[:200])
    for path in (fake, cut, bomb(tmp_path / "bomb.png")):
        visitor.upload(path)
        alert = visitor.page.get_by_role("alert").filter(has_text=path.name)
        expect(alert).to_have_text(re.compile(r"^[A-Z].*[\w)]\.$", re.DOTALL))
        assert str(tmp_path) not in alert.inner_text() and "Traceback" not in alert.inner_text()
        expect(visitor.one("#stage")).to_be_hidden()
    visitor.shoot("desk-refused")
    visitor.open(photo)  # nothing is in the way afterwards


def test_captions_that_cannot_be_used_are_refused_in_a_sentence(drafting: Visitor) -> None:
    refused = drafting.page.get_by_role("alert")
    drafting.say("", NEW)
    drafting.one("#edit").click()
    expect(refused).to_contain_text("caption")
    drafting.say(CAPTION, "")
    drafting.one("#edit").click()
    expect(refused).to_contain_text("new caption")
    drafting.say()
    drafting.one("#set-blend-words input, #set-blend-words textarea").first.fill("zebra")
    drafting.one("#edit").click()
    expect(refused).to_contain_text("zebra")
    expect(drafting.edits()).to_have_count(0)
    drafting.one("#set-blend-words input, #set-blend-words textarea").first.fill("")
    drafting.edit()
    expect(refused).to_have_count(0)


def test_a_word_that_the_model_does_not_know_is_named(drafting: Visitor) -> None:
    drafting.say(new_caption="a photo of a red zebra")
    drafting.edit()
    expect(drafting.one("#verdict .warnings")).to_contain_text("zebra")


def test_an_edit_without_a_photo_is_refused(visitor: Visitor) -> None:
    visitor.say()
    visitor.one("#edit").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("There is no photo yet")


def test_an_example_takes_two_clicks(visitor: Visitor) -> None:
    visitor.draft()
    visitor.one("#examples button").first.click()
    expect(visitor.one("#caption textarea")).to_have_value(re.compile("flower"))
    visitor.edit()
    visitor.shoot("desk-example")


def test_the_slider_and_the_words(drafting: Visitor) -> None:
    drafting.edit()
    left = drafting.one("#stage img.left")
    drafting.page.get_by_label("Move between before and after").fill("20")
    expect(left).to_have_css("clip-path", "inset(0px 80% 0px 0px)")
    drafting.page.get_by_role("button", name="Words").click()
    expect(drafting.one("#stage .maps figcaption").first).to_be_visible()
    assert set(drafting.one("#stage .maps figcaption").all_inner_texts()) == {"rose", "red", "photo"}
    drafting.page.wait_for_function("() => [...document.images].every((image) => image.complete)")
    broken = "() => [...document.images].filter((one) => one.src && one.offsetParent && !one.naturalWidth).length"
    assert drafting.page.evaluate(broken) == 0
    drafting.shoot("desk-words")


def test_text_and_pictures_are_pasted(visitor: Visitor, photo: Path) -> None:
    visitor.one("#caption textarea").click()
    visitor.paste(CAPTION)
    expect(visitor.one("#caption textarea")).to_have_value(CAPTION)
    expect(visitor.one("#stage")).to_be_hidden()
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Control+A")
    visitor.paste(NEW)
    expect(visitor.one("#new-caption textarea")).to_have_value(NEW)
    expect(visitor.one("#difference ins")).to_have_text("cat")
    visitor.paste_picture(photo.read_bytes())
    visitor.one("#stage img.photo").wait_for()
    expect(visitor.one("#new-caption textarea")).to_have_value(NEW)


def test_a_mask_goes_with_the_words_that_it_is_of(drafting: Visitor) -> None:
    drafting.one("#look").click()
    expect(drafting.note()).to_contain_text("Lit is what the edit will reach")
    assert drafting.mask() != "none"
    drafting.say(new_caption="a photo of a green rose")
    drafting.page.wait_for_function("() => document.querySelector('#stage .veil').style.maskImage === 'none'")


def test_a_mask_goes_with_the_settings_that_it_is_of(drafting: Visitor) -> None:
    """And comes back with them."""
    gone = "() => document.querySelector('#stage .veil').style.maskImage === 'none'"
    drafting.edit()
    first = drafting.mask()
    assert first != "none"
    drafting.one("#set-mask-threshold textarea, #set-mask-threshold input").first.fill("0.6")
    drafting.page.wait_for_function(gone)
    drafting.say(new_caption="a photo of a green rose")
    drafting.edit()
    second = drafting.mask()
    drafting.one("#undo").click()
    drafting.new_mask(second)
    drafting.page.wait_for_timeout(2000)  # what the fields tell once they are changed
    assert drafting.mask() == first


def test_a_mask_and_marked_words_go_with_the_model(served: Served, browser: Browser, photo: Path) -> None:
    backbone = served.editor.backbone
    models = Models([MODEL, "other"], load=lambda name: backbone if name == MODEL else failing())
    with running(models) as address:
        visitor = Visitor(browser.new_context(), address)
        visitor.open(photo)
        visitor.say()
        visitor.draft()
        visitor.one("#look").click()
        expect(visitor.note()).to_contain_text("Lit is what the edit will reach")
        assert visitor.mask() != "none"
        visitor.choose("#model", "other")
        expect(visitor.one("#difference")).to_contain_text("A model that is not there")
        expect(visitor.one("#weight-0")).to_be_hidden()
        assert visitor.mask() == "none"
        visitor.context.close()


def failing() -> Backbone:
    """A model that cannot be loaded."""
    raise EditRealError("a model that is not there")


def test_after_the_password_all_works(served: Served, browser: Browser, photo: Path, api: Callable[..., bytes]) -> None:
    models = Models([MODEL], load=lambda name: served.editor.backbone)
    with running(models, Door(password="rose")) as address:
        visitor = Visitor(browser.new_context(), address, "rose")
        visitor.open(photo)
        visitor.say()
        visitor.draft()
        visitor.edit()
        assert visitor.download() == api(photo)
        assert visitor.errors == [] and visitor.hosts == {"127.0.0.1"}
        visitor.context.close()


def test_by_keyboard(visitor: Visitor, photo: Path) -> None:
    visitor.open(photo)
    visitor.draft()
    visitor.one("#caption textarea").focus()
    visitor.page.keyboard.type(CAPTION)
    visitor.page.keyboard.press("Tab")
    expect(visitor.one("#new-caption textarea")).to_be_focused()
    expect(visitor.one("#new-caption textarea")).to_have_value(CAPTION)
    visitor.page.keyboard.press("Control+A")
    visitor.page.keyboard.type(NEW)
    visitor.page.keyboard.press("Enter")
    visitor.done()
    visitor.page.get_by_role("button", name="Photo and mask").focus()
    visitor.page.keyboard.press("Enter")
    visitor.one("[data-tool=protect]").focus()
    visitor.page.keyboard.press("Space")
    before = visitor.mask()
    visitor.one("#stage canvas").focus()
    visitor.page.keyboard.press("ArrowLeft")
    visitor.page.keyboard.press("Space")
    visitor.new_mask(before)
