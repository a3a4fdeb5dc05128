from __future__ import annotations

from pathlib import Path

import pytest

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from benchmarks import null_text
from benchmarks.baseline import Plain, Published
from benchmarks.null_text import Problem, loss_along_path, loss_from_pivots, pose, solve, table
from inversion.null_text_blocks import optimize_in_blocks
from inversion.null_text_path import optimize_null_text
from tests.benchmarks.test_quality import make_edit

STEPS = 4


@pytest.fixture
def problem(backbone: Backbone) -> Problem:
    if backbone.levels.prediction_type != "epsilon":
        pytest.skip("the published way is of models that predict epsilon")
    return pose(Plain(backbone, STEPS, settings=Published(updates=3, guidance_scale=5.0)), make_edit())


def test_the_loss_along_the_path_is_what_null_text_reports(problem: Problem) -> None:
    tuned = optimize_null_text(*problem.arguments, max_inner_steps=3)
    assert loss_along_path(problem, tuned.uncond.embeds) == pytest.approx(sum(tuned.losses) / STEPS, rel=1e-3)


def test_the_loss_from_pivots_is_what_blocks_report(problem: Problem) -> None:
    tuned = optimize_in_blocks(*problem.arguments, max_inner_steps=3, block=STEPS)
    assert loss_from_pivots(problem, tuned.uncond.embeds) == pytest.approx(sum(tuned.losses) / STEPS, rel=1e-3)


def test_one_block_ends_no_farther_than_it_began_and_every_way_is_counted(problem: Problem) -> None:
    found = {name: solve(problem, name) for name in null_text.WAYS}
    before = found["the empty caption, untuned"]
    assert before.watch.rows == {"plain": 0, "graded": 0, "backward": 0}
    assert found["each, in blocks"].from_pivots <= before.from_pivots
    assert all(one.watch.rows["graded"] >= one.watch.rows["backward"] > 0 for one in found.values() if one != before)
    assert [line.split("|")[1].strip() for line in table(list(found.values())).splitlines()[2:]] == list(found)


def test_the_command_writes_its_table(
    problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(null_text, "choose", lambda *_: [make_edit()])
    monkeypatch.setattr(null_text, "load_backbone", lambda _: problem.backbone)
    null_text.main([], tmp_path, number=1, steps=2, guidance=5.0)
    assert "published" in (tmp_path / "null_text.md").read_text(encoding="utf-8")
    assert len((tmp_path / "null_text.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(null_text.WAYS)
    assert "2 steps, guidance 5" in capsys.readouterr().out


def test_a_model_that_the_published_code_is_not_for_is_refused(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backbone.levels.prediction_type == "epsilon":
        pytest.skip("the published way is of these")
    monkeypatch.setattr(null_text, "load_backbone", lambda _: backbone)
    with pytest.raises(EditRealError, match="that predicts epsilon"):
        null_text.main([], tmp_path)
