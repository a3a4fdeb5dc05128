"""The benchmark of proposals counts what is right, and takes photos of the split that it is told."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from backbones.backbone import Backbone
from benchmarks import proposals
from benchmarks.proposals import Judged, color_table, judge, noun_table, spread_rows
from editing.propose import Proposal
from tests.training.archives import write_archives


def judged(thing: str, gain: float, said: str | None = None, color_share: float = 0.0, **facts: Any) -> Judged:
    """What was said of a red rose, or of what the facts say."""
    known = {"nouns": frozenset({"rose", "roses"}), "color": "red", "known": True}
    return Judged(Proposal("", thing, said, gain, color_share), **{**known, **facts})


def test_tables_count_what_is_right() -> None:
    some = [
        judged("rose", 0.03, "red", 0.75),
        judged("roses", 0.012, "pink", 0.55),
        judged("cat", 0.012, "red", 0.9),
        judged("cat", 0.006),
        judged("rose", -0.1, "red", 0.9),
        judged("rose", 0.9, "red", 0.9, color=None),
        judged("cat", 0.012, nouns=frozenset({"shirt"}), known=False),
    ]
    nouns = {row.pop("least gain"): list(row.values()) for row in noun_table(some)}
    assert nouns["0.0"] == [5, 60.0, 1]
    assert nouns["0.01"] == [4, 75.0, 1]
    assert nouns["0.02"] == [2, 100.0, 0]
    colors = {row.pop("least share"): list(row.values()) for row in color_table(some)}
    assert colors["0.5"] == [2, 50.0]
    assert colors["0.6"] == [1, 100.0]
    assert math.isnan(float(str(proposals.percent([]))))


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_photos_are_spread_over_a_split_and_judged(
    tmp_path: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = write_archives(tmp_path)
    rows = spread_rows(archives, "train", 2)
    assert {row["split"] for row in rows} == {"train"}
    assert {row["archive"] for row in rows} == {archive.stem for archive in archives}
    assert max([row["archive"] for row in rows].count(archive.stem) for archive in archives) <= 2
    known = dataclasses.replace(backbone, words={"flowers": ("rose", "tulip"), "colours": ("red",)})
    found = judge(known, rows)
    assert len(found) == len(rows)
    assert all(one.proposal.thing in ("rose", "tulip") and one.proposal.color == "red" for one in found)
    assert [one.known for one in found] == [bool({"rose", "tulip"} & one.nouns) for one in found]
    assert all(row["thing"] in one.nouns for row, one in zip(rows, found, strict=True))
