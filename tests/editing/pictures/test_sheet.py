from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from editing.pictures.overlay import overlay_heat, overlay_mask
from editing.pictures.sheet import PANEL, draw_sheet, draw_strip
from tests.editing.pictures.sheets import middle_of, panels_of, share_of

COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255), (0, 255, 255), (255, 255, 0)]


def panels(width: int, height: int) -> list[tuple[str, Image.Image]]:
    return [(f"panel {index}", Image.new("RGB", (width, height), color)) for index, color in enumerate(COLORS)]


@pytest.mark.parametrize("size", [(64, 64), (40, 90), (1200, 800)])
def test_a_sheet_shows_every_panel_in_reading_order(size: tuple[int, int]) -> None:
    sheet = draw_sheet(panels(*size), "title", columns=3)
    assert sheet.mode == "RGB"
    panel = PANEL**2 * min(size) / max(size) / (sheet.width * sheet.height)
    assert all(share_of(sheet, color) > 0.5 * panel for color in COLORS)
    assert len(panels_of(sheet)) == len(COLORS)
    middles = [middle_of(sheet, color) for color in COLORS]
    for row in (middles[:3], middles[3:]):
        assert row == sorted(row)
        assert np.ptp([y for _, y in row]) < 2
    assert max(y for _, y in middles[:3]) < min(y for _, y in middles[3:])


def test_a_strip_is_one_row() -> None:
    middles = [middle_of(draw_strip(panels(64, 48), "title"), color) for color in COLORS]
    assert middles == sorted(middles)
    assert np.ptp([y for _, y in middles]) < 2


@pytest.mark.parametrize("word", ["$5", "$5% {bill", "\\frac"])
def test_what_matplotlib_reads_as_a_formula_is_written_as_it_is(word: str) -> None:
    sheet = draw_sheet([(f"“{word}$”", Image.new("RGB", (64, 64)))], f"a {word} → a {word}", [f"a {word} or {word}"])
    assert sheet.width > 64


def test_titles_and_notes_are_written_beside_the_panels() -> None:
    def ink(sheet: Image.Image, rows: slice) -> int:
        return int((np.asarray(sheet)[rows].max(-1) < 100).sum())

    blank = [("", Image.new("RGB", (64, 64), "white"))] * 2
    bare, titled = draw_sheet(blank, ""), draw_sheet(blank, "a title")
    noted = draw_sheet(blank, "", ["a note", "another"])
    top, bottom = slice(0, 40), slice(-40, None)
    assert ink(bare, slice(None)) == 0
    assert ink(titled, top) > 20 and ink(titled, bottom) == 0
    assert ink(noted, bottom) > 20 and ink(noted, top) == 0
    assert noted.height > bare.height


def test_long_titles_and_notes_go_on_in_the_next_line() -> None:
    def ink_beside(sheet: Image.Image) -> int:
        """At the left and the right border, where nothing is but what is cut."""
        pixels = np.asarray(sheet).min(-1)
        return int((pixels[:, :3] < 100).sum() + (pixels[:, -3:] < 100).sum())

    blank, long = [("", Image.new("RGB", (64, 64), "white"))] * 2, "a photo of a very long caption, " * 8
    short = draw_sheet(blank, "a title", ["a note"])
    titled, noted = draw_sheet(blank, long, ["a note"]), draw_sheet(blank, "a title", [long, long])
    assert ink_beside(titled) == ink_beside(noted) == 0
    assert titled.height > short.height and noted.height > short.height


def test_letters_that_the_font_lacks_are_drawn_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_sheet([("猫", Image.new("RGB", (64, 64)))], "a photo of a 猫", ["🌹"])


def test_a_mask_leaves_what_it_holds_and_darkens_the_rest() -> None:
    photo = np.random.default_rng(0).integers(100, 256, (12, 10, 3)).astype(np.uint8)
    mask = np.zeros((12, 10), np.uint8)
    mask[3:9, 2:7] = 255
    shown = np.asarray(overlay_mask(Image.fromarray(photo), Image.fromarray(mask))).astype(int)
    assert np.array_equal(shown[mask > 0], photo[mask > 0])
    assert (shown[mask == 0] < 0.26 * 256).all()
    assert (np.ptp(shown[mask == 0], axis=-1) == 0).all()


def test_heat_is_brighter_where_there_is_more_of_it() -> None:
    heat = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (8, 1))
    grey = Image.new("RGB", (32, 8), (128, 128, 128))
    brightness = np.asarray(overlay_heat(grey, Image.fromarray(heat)).convert("L"))[0].astype(int)
    assert (np.diff(brightness) >= 0).all()
    assert brightness[-1] > brightness[0] + 80
