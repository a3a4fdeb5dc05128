from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from backbones.errors import EditRealError
from benchmarks.composites import Dyed, Way, bands, finish, measure, read_rows


def dyed(side: int = 96) -> Dyed:
    """A red disc with stripes on grey, and the same in white."""
    y, x = np.mgrid[:side, :side]
    disc = np.hypot(y - side / 2, x - side / 2) < side / 3
    shade = (0.9 + 0.1 * np.sin(x / 2))[..., None]
    photo, truth = (
        np.where(disc[..., None], np.array(color) * shade, 90) for color in ((190, 40, 40), (225, 220, 215))
    )
    return Dyed(photo.astype(np.uint8), truth.astype(np.uint8), disc, "white")


def test_the_truth_has_no_error_and_the_photo_has_its_colours() -> None:
    case = dyed()
    perfect, unedited = measure(case.truth, case), measure(case.photo, case)
    assert (perfect["inside"], perfect["rim"], perfect["blown"]) == (0, 0, 0)
    assert perfect["edges"] == pytest.approx(1)
    assert perfect["contrast"] == pytest.approx(1)
    assert unedited["inside"] > 30
    assert unedited["rim"] > 10


def test_what_is_blown_out_is_counted_where_the_truth_is_not() -> None:
    case = dyed()
    core = np.argwhere(bands(case.object)[0])
    result = case.truth.copy()
    result[tuple(core[: len(core) // 2].T)] = 255
    assert measure(result, case)["blown"] == pytest.approx(50, abs=0.1)


def test_core_and_rim_do_not_meet_and_the_rim_is_on_both_sides() -> None:
    mask = dyed(192).object
    core, rim = bands(mask)
    assert not (core & rim).any()
    assert not (core & ~mask).any()
    assert (rim & mask).any()
    assert (rim & ~mask).any()


def test_a_drawing_without_mistakes_comes_near_the_truth() -> None:
    case = dyed()
    before, after = (picture[::3, ::3] / 255.0 for picture in (case.photo, case.truth))
    figures = {way: measure(finish(way, case, before, after), case) for way in (Way(), Way(keep_detail=False))}
    assert figures[Way()]["inside"] < 4
    assert figures[Way()]["edges"] > figures[Way(keep_detail=False)]["edges"]


def test_an_archive_that_cannot_be_read_is_refused_in_a_sentence(tmp_path: Path) -> None:
    broken, empty = tmp_path / "broken.zip", tmp_path / "empty.zip"
    broken.write_bytes(b"no archive")
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("metadata.jsonl", json.dumps({"file_name": "a.png", "split": "test", "color": "red"}))
    with pytest.raises(EditRealError, match="expected a zip archive"):
        read_rows(broken, "train", 3)
    assert read_rows(empty, "train", 3) == []
