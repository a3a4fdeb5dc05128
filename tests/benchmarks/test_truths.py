"""What is known of ground truths that are wrong holds for photos of the list, and is told apart in the tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import truths
from benchmarks.edits import LIST
from benchmarks.methods import OURS
from benchmarks.report import report
from benchmarks.trust import Judged, by_kind
from benchmarks.truths import UNSOUND, is_sound, photo_of
from editing.trust import TrustModel

MODEL = TrustModel({"asked_color": 0.0}, {"asked_color": 1.0}, {"asked_color": 1.0}, 0.0, 0.5)


@pytest.fixture
def one_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truths, "_unsound", lambda: {"rose": "half of it is missing"})


def test_every_photo_that_is_told_is_of_the_list_and_has_a_reason() -> None:
    names = [entry["name"] for entry in json.loads(LIST.read_text(encoding="utf-8"))]
    told = json.loads(UNSOUND.read_text(encoding="utf-8"))
    assert told and set(told) < {photo_of(name) for name in names}
    assert all(isinstance(why, str) and why for why in told.values())
    assert {photo_of(name) for name in names if not is_sound(name)} == set(told)


def row(name: str, iou: float, **figures: Any) -> dict[str, Any]:
    return {"method": OURS, "name": name, "kind": "colour swap", "error": "", "iou": iou, **figures}


def test_the_report_has_them_in_all_tables_but_one(one_wrong: None) -> None:
    text = report([row("rose-1", 0.2, seconds=1.0, memory=1.0), row("tulip-1", 0.8, seconds=1.0, memory=1.0)], 2, {})
    everything, rest = text.split("## Edits whose ground truth is sound, 1")
    sound, kinds = rest.split("## Kind by kind")
    assert "0.50" in everything and "0.80" in sound and "0.50" not in sound and "0.50" in kinds
    for name in ("tulip-1", "rose-1"):
        assert "ground truth is sound, " not in report([row(name, 0.8, seconds=1.0, memory=1.0)], 2, {})


def test_trust_is_checked_on_both(one_wrong: None) -> None:
    rows = [row("rose-1", 0.2), row("tulip-1", 0.8)]
    signs = [{"asked_color": 2.0, "mask_share": 9.0, "change_inside": 9.0, "beyond_map": 0.0}] * 2
    lines = by_kind(Judged(rows, signs, [["mask"], []]), MODEL)
    assert [(line["edits"], line["number"], line["failed"]) for line in lines] == [
        ("colour swap", 2, 1),
        ("all", 2, 1),
        ("all of sound ground truth", 1, 0),
    ]
    for alike in (rows[:1], rows[1:]):
        lines = by_kind(Judged(alike, signs[:1], [[]]), MODEL)
        assert [line["edits"] for line in lines] == ["colour swap", "all"]
