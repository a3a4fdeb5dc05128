"""Every archive is read through one schema, and nothing untrustworthy is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.archives import disc, write_archives
from training.archives import photos_of, read_archive
from workshop.overlap import iou


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_archives(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def rows(archives: list[Path]) -> dict[str, dict[str, Any]]:
    """The train rows by thing."""
    found = [row for path in archives for row in read_archive(path)]
    return {row["thing"] + str(row["color"]): row for row in found if row["split"] == "train"}


def test_every_row_has_the_schema(rows: dict[str, dict[str, Any]]) -> None:
    assert len(rows) == 10
    for row in rows.values():
        assert {"file_name", "archive", "split", "kind", "thing", "things", "names", "color", "background"} <= set(row)
        assert row["image"].dtype == np.uint8
        assert row["object"] is None or row["object"].shape == row["image"].shape[:2]


def test_nouns_are_singular_plural_and_wider(rows: dict[str, dict[str, Any]]) -> None:
    assert (rows["daisyred"]["things"], rows["daisyred"]["names"]) == ("daisies", [("flower", "flowers")])
    assert rows["catNone"]["names"] == [("bengal", "bengals")]
    assert (rows["pantsblue"]["things"], rows["pantsblue"]["names"]) == ("pants", [("trousers", "trousers")])
    assert rows["dressNone"]["things"] == "dresses"
    assert (rows["carrotorange"]["things"], rows["carrotorange"]["names"]) == ("carrots", [("vegetable", "vegetables")])


def test_a_fruits_color_is_that_of_its_sort(rows: dict[str, dict[str, Any]]) -> None:
    assert "limegreen" in rows  # whose pixels were called brown
    assert "carrotorange" in rows  # whose pixels had no name
    assert "peachNone" in rows  # no peach is green


def test_weak_guesses_are_dropped(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["roseNone"]["object"] is None
    assert rows["dressNone"]["object"] is None  # its mask did not stand out either


def test_the_things_pixels_are_found(rows: dict[str, dict[str, Any]]) -> None:
    for thing in ("pantsblue", "limegreen", "caryellow", "daisyred"):
        mask = rows[thing]["object"]
        assert iou(mask, disc(len(mask))) > 0.9, thing
    assert rows["carblack"]["object"] is None  # black is also its shadow's
    np.testing.assert_array_equal(rows["catNone"]["object"], disc(144, 0.3))  # with the trimap's border


def test_a_trimaps_border_is_told(rows: dict[str, dict[str, Any]]) -> None:
    border, thing = rows["catNone"]["border"], rows["catNone"]["object"]
    assert border.any() and not (border & ~thing).any() and (thing & ~border).any()
    assert rows["pantsblue"]["border"] is None and rows["daisyred"]["border"] is None


def test_only_named_photos_are_read(archives: list[Path]) -> None:
    assert [row["file_name"] for row in read_archive(archives[0], {"test/1.png"})] == ["test/1.png"]
    chosen = photos_of(archives, "test", 1)
    assert [row["kind"] for row in chosen] == ["flower", "pet", "clothes", "fruit", "car"]
    assert all(row["split"] == "test" and row["object"] is not None for row in chosen)
