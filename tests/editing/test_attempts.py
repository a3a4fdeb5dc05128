"""Second thoughts: other settings are tried while there is doubt, and the best attempt is taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backbones.backbone import Backbone
from editing import attempts
from editing import make as making
from editing.attempts import NEXT, make_with_second_thoughts, worth
from editing.edit import edit_real
from editing.editor import Editor
from editing.kind import KINDS, fill_in
from editing.plan import EditPlan, plan_edit
from editing.result import EditResult
from editing.settings import EditSettings
from tests.editing.edits import CAPTION, NEW, edit, picture

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

NAN = float("nan")
TABLE: dict[str, Any] = {"faint": {"default": ({"emphasis": 3.0}, {"emphasis": 5.0, "self_replace": 0.1})}}


@pytest.fixture
def first(editor: Editor) -> EditResult:
    return edit(editor, picture())


@pytest.fixture
def made(first: EditResult, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, list[EditSettings]]]:
    """What comes of a plan whose attempts, in turn, have these verdicts, and with which settings they were made.

    A verdict is the trust, the trouble, and what is in doubt where that is something else.
    """
    monkeypatch.setattr(attempts, "NEXT", TABLE)

    def run(
        backbone: Backbone, verdicts: Sequence[tuple[float, str | None] | tuple[float, None, str]], **options: Any
    ) -> tuple[EditResult, list[EditSettings]]:
        asked: list[EditSettings] = []

        def make(plans: Sequence[EditPlan]) -> list[EditResult]:
            results = []
            for plan in plans:
                trust, trouble, *doubts = verdicts[len(asked)]
                asked.append(plan.settings)
                metrics, doubt = {**first.metrics, "trust": trust}, (*doubts, trouble)[0]
                results.append(dataclasses.replace(first, metrics=metrics, trouble=trouble, doubt=doubt))
            return results

        plan = plan_edit(backbone, CAPTION, NEW, (40, 48), EditSettings(**options), sampled=range(3))
        return make_with_second_thoughts(make, [plan])[0], asked

    return run


def test_a_good_verdict_is_taken_at_once(backbone: Backbone, made: Callable[..., Any]) -> None:
    result, asked = made(backbone, [(0.9, None)], attempts=3)
    assert asked == [EditSettings(attempts=3)] and result.trust == 0.9
    assert [one.changes for one in result.attempts] == [{}]


def test_the_best_of_all_is_taken_with_what_was_tried(backbone: Backbone, made: Callable[..., Any]) -> None:
    result, asked = made(backbone, [(0.2, "faint"), (0.4, "faint"), (0.3, "faint")], attempts=5)
    once = EditSettings(attempts=1)
    tried = [{"emphasis": 3.0}, {"emphasis": 5.0, "self_replace": 0.1}]
    assert asked == [EditSettings(attempts=5), *(dataclasses.replace(once, **some) for some in tried)]
    assert result.trust == 0.4
    assert [one.metrics["trust"] for one in result.attempts] == [0.2, 0.4, 0.3]
    assert [one.changes for one in result.attempts][1:] == list(TABLE["faint"]["default"])


def test_a_later_attempt_must_be_clearly_better(backbone: Backbone, made: Callable[..., Any]) -> None:
    assert made(backbone, [(0.2, "faint"), (0.29, "faint")])[0].trust == 0.2
    assert made(backbone, [(0.2, "faint"), (0.31, "faint")])[0].trust == 0.31
    assert made(backbone, [(0.2, "faint"), (0.5, "faint"), (0.55, "faint")], attempts=3)[0].trust == 0.5
    assert made(backbone, [(0.2, "faint"), (0.1, None)])[0].trouble is None
    assert made(backbone, [(NAN, "faint"), (NAN, "faint")])[0].trouble == "faint"


def test_there_are_no_more_than_were_allowed_or_are_needed(backbone: Backbone, made: Callable[..., Any]) -> None:
    bad = [(0.1, "faint")] * 3
    assert len(made(backbone, bad, attempts=2)[1]) == 2
    assert len(made(backbone, bad, attempts=1)[1]) == 1
    assert made(backbone, bad, attempts=1)[0].attempts == ()
    assert len(made(backbone, [(0.1, "faint"), (0.8, None), (0.9, None)], attempts=3)[1]) == 2


def test_an_edit_that_is_not_warned_of_may_be_in_doubt(backbone: Backbone, made: Callable[..., Any]) -> None:
    result, asked = made(backbone, [(0.7, None, "faint"), (0.9, None)])
    assert len(asked) == 2 and result.trust == 0.9
    result, asked = made(backbone, [(0.7, None, "faint"), (0.6, "faint")])
    assert len(asked) == 2 and result.trust == 0.7
    result, asked = made(backbone, [(0.7, None, "unsure")], attempts=5)
    assert len(asked) == 1 and result.trust == 0.7


@pytest.mark.parametrize(("change", "closer"), [({"mask_threshold": 0.65}, 0.0), ({"emphasis": 3.0}, 0.5)])
def test_another_threshold_chooses_no_other_part_of_the_photo(
    backbone: Backbone, made: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], closer: float
) -> None:
    monkeypatch.setattr(attempts, "NEXT", {"faint": {"default": (change,)}})
    _, asked = made(backbone, [(0.1, "faint")] * 2, attempts=2)
    assert [one.closer for one in asked] == [EditSettings.closer, closer] and EditSettings.closer == 0.5


def test_what_no_setting_mends_is_not_tried_again(backbone: Backbone, made: Callable[..., Any]) -> None:
    result, asked = made(backbone, [(0.6, "unsure")], attempts=5)
    assert len(asked) == 1 and result.trouble == "unsure"
    result, asked = made(backbone, [(0.2, "faint"), (0.6, "unsure")], attempts=5)
    assert len(asked) == 2 and result.trouble == "unsure"


def test_what_was_set_by_hand_is_not_tried_otherwise(backbone: Backbone, made: Callable[..., Any]) -> None:
    _, asked = made(backbone, [(0.1, "faint")] * 3, attempts=3, emphasis=1.5)
    assert [(one.emphasis, one.self_replace) for one in asked] == [(1.5, EditSettings.self_replace), (1.5, 0.1)]


def test_what_does_nothing_is_not_tried(backbone: Backbone, made: Callable[..., Any]) -> None:
    _, asked = made(backbone, [(0.1, "faint")] * 3, attempts=3, control="mutual")
    assert asked == [EditSettings(control="mutual", attempts=3)]


def test_nothing_is_tried_where_nothing_is_asked(editor: Editor) -> None:
    assert len(edit(editor, picture(), new=CAPTION, attempts=3).attempts) == 1


@pytest.mark.parametrize("held_back", [{"exclude_mask": np.ones((48, 40), bool)}, {"protect_words": ["rose"]}])
def test_what_the_user_holds_back_no_attempt_overrules(editor: Editor, held_back: dict[str, Any]) -> None:
    result = edit(editor, picture(), attempts=3, **held_back)
    assert result.metrics["mask_share"] == 0 and len(result.attempts) == 1
    assert any("nothing was edited; protect or exclude less" in warning for warning in result.warnings)


def test_a_little_that_is_held_back_leaves_second_thoughts(
    backbone: Backbone, made: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "NEXT", {"empty": {"default": ({"mask_threshold": 0.1},)}})
    everything, corner = np.ones((48, 40), bool), np.zeros((48, 40), bool)
    corner[:2, :2] = True
    for exclude, times in ((corner, 2), (everything, 1)):
        _, asked = made(backbone, [(0.1, "empty"), (0.9, None)], attempts=2, exclude_mask=exclude)
        assert len(asked) == times


def test_without_trust_what_is_seen_decides(first: EditResult) -> None:
    def of(trust: float, trouble: str | None, seen: float) -> EditResult:
        return dataclasses.replace(first, trouble=trouble, doubt=trouble, metrics={"trust": trust, "seen": seen})

    ordered = [of(NAN, "faint", NAN), of(NAN, "faint", 2.0), of(NAN, None, -1.0), of(NAN, None, 1.0)]
    assert sorted((ordered[i] for i in (2, 0, 3, 1)), key=worth) == ordered
    assert worth(of(0.3, None, -9.0)) > worth(of(0.2, None, 9.0))
    assert worth(of(0.8, None, 0.0)) > worth(of(0.9, "wide", 0.0)), "trust knows nothing of masks"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_tried_can_be_made_and_differs(backbone: Backbone, kind: str) -> None:
    assert set(NEXT) == {"faint", "wide", "empty"}
    for by_kind in NEXT.values():
        tried = [fill_in(EditSettings(), change) for change in by_kind.get(kind, by_kind["default"])]
        assert len({EditSettings(), *tried}) == 1 + len(tried) >= 3
        for settings in tried:
            options = dataclasses.replace(settings, reweight={"cat": 2.0})  # a control may refuse weights
            plan_edit(backbone, CAPTION, NEW, (40, 48), options, sampled=range(3))


def test_its_recipe_makes_the_chosen_attempt_again(
    editor: Editor, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("editing.finish.trouble_of", lambda *_, **__: "faint")
    monkeypatch.setattr(attempts, "worth", lambda result: (False, result.settings["emphasis"]))
    monkeypatch.setattr(attempts, "NEXT", {"faint": {"default": ({"emphasis": 4.0}, {"emphasis": 3.0})}})
    result = edit(editor, picture(), attempts=3, mask_threshold=0.5)
    assert [one.changes for one in result.attempts] == [{}, {"emphasis": 4.0}, {"emphasis": 3.0}]
    assert result.recipe.settings["emphasis"] == 4.0 and result.recipe.settings["attempts"] == 1
    again = edit_real(picture(), CAPTION, NEW, model=model_folder, **result.recipe.options())
    assert again.drawn.tobytes() == result.drawn.tobytes() and again.attempts == ()
    assert result.drawn.tobytes() != edit(editor, picture(), mask_threshold=0.5).drawn.tobytes()


def test_those_that_need_another_attempt_are_made_again_together(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = {"default": ({"emphasis": 4.0}, {"control": "refine"})}
    monkeypatch.setattr(attempts, "NEXT", {"empty": tried, "wide": {"default": ()}})
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3)
    plain = EditSettings(refinement="plain", mask_threshold=0.5, attempts=1)
    twice = EditSettings(blend_words=(), attempts=2)
    thrice = EditSettings(blend_words=(), emphasis=1.5, attempts=3)  # set by hand, so that the control is tried at once
    batches: list[list[tuple[str, float]]] = []
    sample = making.sample_edits

    def counted(*args: Any, **options: Any) -> Any:
        batches.append([(plan.settings.control, plan.settings.emphasis) for plan in args[3]])
        return sample(*args, **options)

    monkeypatch.setattr(making, "sample_edits", counted)
    results = editor.edit_many(trajectory, [NEW] * 4, [twice, plain, thrice, twice])
    assert [[one.changes for one in result.attempts] for result in results] == [
        [{}, {"emphasis": 4.0}],
        [],
        [{}, {"control": "refine"}],
        [{}, {"emphasis": 4.0}],
    ]
    first = [("replace", plain.emphasis), ("replace", plain.emphasis), ("replace", 1.5), ("replace", plain.emphasis)]
    assert batches == [first, [("refine", 1.5)], [("replace", 4.0)] * 2]
    alone = editor.edit(trajectory, NEW, twice)
    assert np.abs(np.asarray(alone.drawn, int) - np.asarray(results[3].drawn, int)).max() <= 1
