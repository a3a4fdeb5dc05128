from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from editing.recipe import read_recipe
from editing.settings import EditSettings, InversionSettings
from studio.samples import Sample
from studio.web.actions import BROKEN, STOPPED, Actions, Asked, Shown, Typed, read_region, told
from studio.web.form import form_fields, read_form
from studio.web.models import Models
from studio.web.visit import Visit
from studio.web.watched import Cancelled
from tests.editing.edits import half, picture
from tests.studio.web.asked import CAPTION, NEW, QUICK, asked


def quiet(phase: str, done: int, total: int) -> None: ...


@pytest.fixture
def actions(backbone: Backbone) -> Actions:
    flower = Sample("flower", CAPTION, {"cat": NEW}, "numpy", picture)
    return Actions(Models(["tiny"], load=lambda name: backbone), [flower])


@pytest.fixture
def visit(tmp_path: Path, actions: Actions) -> Visit:
    made = Visit(tmp_path / "visit")
    actions.open_example(made, 0)
    return made


def uploaded(tmp_path: Path, name: str = "rose.png") -> Path:
    folder = tmp_path / "upload"
    folder.mkdir(exist_ok=True)
    Image.fromarray(picture()).save(folder / name)
    return folder / name


def test_an_upload_is_read_and_left_for_others_who_sent_the_same(
    actions: Actions, visit: Visit, tmp_path: Path
) -> None:
    path, other = uploaded(tmp_path), Visit(tmp_path / "other")
    for one in (visit, other):
        shown = actions.open(one, str(path))
        assert one.photo is not None and one.name == "rose" and shown.view == "mask"


def weights(typed: Typed) -> dict[str, float]:
    """What the sliders show, by word."""
    return {word: slider.weight for word, slider in typed.sliders.items()}


def test_a_file_that_is_no_photo_is_named_without_its_place(actions: Actions, visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "fake.jpg"
    path.write_text("no picture")
    shown = told(lambda: actions.open(visit, str(path)))
    assert shown.kind == "refused" and "fake.jpg" in shown.note and str(tmp_path) not in shown.note


def test_words_that_differ_are_told_as_they_are_typed(actions: Actions, visit: Visit) -> None:
    typed = actions.typed(visit, CAPTION, "a photo of a green <cat>", "tiny")
    assert "<del>red</del> <ins>green</ins>" in typed.difference and "<ins>cat</ins>" in typed.difference
    assert "<cat>" not in typed.difference
    assert weights(typed) == {"green": 2.0, "cat": 2.0}
    actions.turn(visit, 0, 3.0)
    actions.turn(visit, 1, 1.0)
    again = actions.typed(visit, CAPTION, "a photo of a small green cat", "tiny")
    assert weights(again) == {"small": 2.0, "green": 3.0, "cat": 1.0}
    assert actions.typed(visit, CAPTION, " ", "tiny").difference == ""


def test_words_that_stay_can_be_protected(actions: Actions, visit: Visit) -> None:
    visit.toggle_protection("red")
    typed = actions.typed(visit, CAPTION, NEW, "tiny")
    assert re.search(r"data-word=\"red\" aria-pressed='true'", typed.difference)
    assert actions.request(visit, asked("tiny")).settings.protect_words == ("red",)
    assert actions.request(visit, asked("tiny", "a rose", "a cat")).settings.protect_words == ()
    visit.toggle_protection("Red")
    assert actions.request(visit, asked("tiny")).settings.protect_words == ()


def test_words_that_are_left_alone_follow_the_emphasis(actions: Actions, visit: Visit) -> None:
    """So that no slider says another thing than the setting."""
    new = "a photo of a green cat"
    actions.typed(visit, CAPTION, new, "tiny")
    actions.turn(visit, 1, 3.5)
    assert weights(actions.typed(visit, CAPTION, new, "tiny", 5.0)) == {"green": 5.0, "cat": 3.5}
    assert weights(actions.typed(visit, CAPTION, new, "tiny", "no number")) == {"green": 5.0, "cat": 3.5}
    request = actions.request(visit, asked("tiny", new_caption=new, emphasis=5.0))
    assert request.settings.reweight == {"cat": 3.5}
    soon = actions.request(visit, asked("tiny", new_caption=new, emphasis=1.0))
    assert soon.settings.reweight == {"cat": 3.5}
    actions.turn(visit, 1, 5.0)
    assert weights(actions.typed(visit, CAPTION, new, "tiny", 3.0)) == {"green": 3.0, "cat": 3.0}, "it follows again"


@pytest.mark.parametrize(("typed", "taken"), [(9, 4.0), (-3, 0.0), (None, 0.0), (3, 3.0)])
def test_what_is_typed_beyond_a_sliders_ends_is_the_end(
    actions: Actions, visit: Visit, typed: float | None, taken: float
) -> None:
    actions.typed(visit, CAPTION, NEW, "tiny")
    actions.turn(visit, 0, typed)
    assert actions.request(visit, asked("tiny")).settings.reweight == {"cat": taken}


def test_a_slider_keeps_its_ends_until_it_is_drawn_anew(actions: Actions, visit: Visit) -> None:
    visit.bring_back(EditSettings(reweight={"cat": 6.0}))
    actions.typed(visit, CAPTION, NEW, "tiny")
    for typed, taken in ((3.0, 3.0), (5.5, 5.5), (9.0, 6.0)):
        actions.turn(visit, 0, typed)
        assert actions.request(visit, asked("tiny")).settings.reweight == {"cat": taken}


@pytest.mark.parametrize(
    "changed",
    [
        {"new_caption": "a photo of a green rose"},
        {"model": "other"},
        {"region": "2 3 38 44"},
        {"region": "2 3"},
        {"steps": 4},
        {"mask_threshold": "0.6"},
    ],
)
def test_a_mask_is_that_of_its_words_and_settings(actions: Actions, visit: Visit, changed: dict[str, Any]) -> None:
    visit.open(picture())
    now = asked(**{"model": "tiny", **changed})
    assert not actions.is_stale(visit, asked("tiny"))
    actions.look(visit, asked("tiny"), quiet)
    painted = visit.read_strokes(half(48, 40, left=True).astype("uint8") * 255).url
    assert not actions.is_stale(visit, asked("tiny", strokes=painted)), "it follows them"
    assert actions.is_stale(visit, now)
    assert not actions.is_stale(visit, now), "it is gone already"


def test_a_mask_that_comes_back_with_an_edit_is_its_own(actions: Actions, visit: Visit) -> None:
    visit.toggle_protection("red")
    actions.typed(visit, CAPTION, NEW, "tiny")
    actions.turn(visit, 0, 3.0)
    first = asked("tiny", region="2 3 38 44", cross_replace="0.5:0.9")
    actions.edit(visit, first, quiet)
    actions.edit(visit, asked("tiny", new_caption="a photo of a green rose"), quiet)
    shown = actions.undo(visit)
    assert not actions.is_stale(visit, Asked(CAPTION, NEW, "", "tiny", shown.form or (), shown.region or ""))


def test_sliders_become_weights_of_their_words(actions: Actions, visit: Visit) -> None:
    actions.typed(visit, CAPTION, "a photo of a green cat", "tiny")
    actions.turn(visit, 1, 3.5)
    actions.turn(visit, 2, 9.0)  # a slider that is put away
    request = actions.request(visit, asked("tiny", new_caption="a photo of a green cat"))
    assert request.settings.reweight == {"cat": 3.5}


def test_looking_shows_the_mask_and_editing_the_edit(actions: Actions, visit: Visit) -> None:
    same = actions.look(visit, asked("tiny", new_caption=CAPTION), quiet)
    assert same.mask is None and same.kind != "refused"
    assert actions.look(visit, asked("tiny"), quiet).mask is not None
    shown = actions.edit(visit, asked("tiny"), quiet)
    assert shown.view == "compare" and visit.history.current == 1


def test_the_mask_follows_strokes_only_where_that_takes_no_inversion(actions: Actions, visit: Visit) -> None:
    assert actions.look_again(visit, asked("tiny")) is None
    actions.look(visit, asked("tiny"), quiet)
    assert actions.look_again(visit, asked("tiny")) is not None
    assert actions.look_again(visit, asked("tiny", caption="a rose")) is None


def test_going_back_brings_back_all_that_the_edit_was_made_with(actions: Actions, visit: Visit) -> None:
    visit.toggle_protection("photo")
    actions.edit(visit, asked("tiny", region="2 3 38 44"), quiet)
    visit.toggle_protection("photo")
    actions.edit(visit, asked("tiny", new_caption="a photo of a green rose", emphasis=1.0), quiet)
    shown = actions.undo(visit)
    assert (shown.caption, shown.new_caption, shown.region) == (CAPTION, NEW, "2 3 38 44")
    assert visit.protected == ("photo",) and shown.form is not None
    assert dict(zip((field.name for field in form_fields()), shown.form, strict=True))["emphasis"] == 2.0
    assert actions.redo(visit).new_caption == "a photo of a green rose"
    assert actions.go(visit, 0).view == "mask"


def test_a_dropped_edit_gives_back_words_and_settings(actions: Actions, visit: Visit, tmp_path: Path) -> None:
    left = half(48, 40, left=True)
    strokes = visit.read_strokes(left.astype("uint8") * 255)
    actions.edit(visit, asked("tiny", strokes=strokes.url, emphasis=1.5), quiet)
    saved = actions.download(visit, "PNG")
    other = Visit(tmp_path / "other")
    copy = tmp_path / "edit.png"
    copy.write_bytes(saved.read_bytes())
    shown = actions.open(other, str(copy))
    assert other.photo is None and (shown.caption, shown.new_caption) == (CAPTION, NEW)
    assert "photo that it was made from" in shown.note
    values = dict(zip((field.name for field in form_fields()), shown.form or (), strict=True))
    assert values["emphasis"] == 1.5 and values["steps"] == QUICK["steps"]
    photo = actions.open(other, str(uploaded(tmp_path)), caption=CAPTION)
    assert photo.strokes == strokes.url


def test_a_weight_that_comes_back_counts_for_a_word_that_stays_too(
    actions: Actions, visit: Visit, tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(uploaded(tmp_path).read_bytes())
    settings = {"reweight": {"rose": 3.0}, "protect_words": ["photo"], **QUICK}
    _, made = actions.edit_file(visit, str(tmp_path / "photo.png"), CAPTION, CAPTION, settings, "tiny")
    other = Visit(tmp_path / "other")
    (tmp_path / "edit.png").write_bytes(made.read_bytes())
    shown = actions.open(other, str(tmp_path / "edit.png"))
    typed = actions.typed(other, CAPTION, CAPTION, "tiny")
    assert shown.new_caption == CAPTION and weights(typed) == {"rose": 3.0}
    actions.open(other, str(uploaded(tmp_path)), caption=CAPTION)
    request = actions.request(other, asked("tiny", new_caption=CAPTION))
    assert request.settings.reweight == {"rose": 3.0} and request.settings.protect_words == ("photo",)


def test_an_edit_whose_settings_cannot_be_read_is_a_photo(
    actions: Actions, visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions.edit(visit, asked("tiny"), quiet)
    (tmp_path / "edit.png").write_bytes(actions.download(visit, "PNG").read_bytes())

    def of_tomorrow(path: Path) -> None:
        raise EditRealError("expected settings among some, got 'charm'")

    monkeypatch.setattr("studio.web.actions.read_recipe", of_tomorrow)
    other = Visit(tmp_path / "other")
    shown = told(lambda: actions.open(other, str(tmp_path / "edit.png")))
    assert other.photo is not None and "of another version" in shown.note and shown.kind != "refused"
    (tmp_path / "edit.png").write_bytes(actions.download(visit, "PNG").read_bytes())
    again = told(lambda: actions.open(visit, str(tmp_path / "edit.png")))
    assert again.kind == "refused" and "another tab" in again.note and visit.history.edits


def test_the_photo_of_an_edit_may_be_an_edit_itself(actions: Actions, visit: Visit, tmp_path: Path) -> None:
    first, second, blue = tmp_path / "first.png", tmp_path / "second.png", "a photo of a blue rose"
    actions.edit(visit, asked("tiny"), quiet)
    content = actions.download(visit, "PNG").read_bytes()
    for _ in range(2):  # the second time as a photo
        first.write_bytes(content)
        actions.open(visit, str(first))
    actions.edit(visit, asked("tiny", new_caption=blue), quiet)
    second.write_bytes(actions.download(visit, "PNG").read_bytes())

    other = Visit(tmp_path / "other")
    assert actions.open(other, str(second)).new_caption == blue and other.photo is None
    first.write_bytes(content)
    assert actions.open(other, str(first)).caption is None, "the words of the edit that waits stay"
    assert other.photo is not None and not other.awaits_photo
    first.write_bytes(content)
    assert actions.open(other, str(first)).new_caption == NEW, "now it gives its own back"


def test_strokes_that_came_back_are_for_their_photo_alone(actions: Actions, visit: Visit, tmp_path: Path) -> None:
    strokes = visit.read_strokes(half(48, 40, left=True).astype("uint8") * 255)
    actions.edit(visit, asked("tiny", strokes=strokes.url), quiet)
    (tmp_path / "edit.png").write_bytes(actions.download(visit, "PNG").read_bytes())
    assert actions.open(visit, str(tmp_path / "edit.png")).strokes == strokes.url  # its photo is there
    assert actions.open(visit, str(uploaded(tmp_path))).strokes == ""


def test_a_region_is_for_its_photo_alone(actions: Actions, visit: Visit, tmp_path: Path) -> None:
    actions.edit(visit, asked("tiny", region="2 3 38 44"), quiet)
    (tmp_path / "edit.png").write_bytes(actions.download(visit, "PNG").read_bytes())
    other = Visit(tmp_path / "other")
    assert actions.open(other, str(tmp_path / "edit.png")).region == "2 3 38 44"
    assert actions.open(other, str(uploaded(tmp_path))).region is None, "the photo that the edit waited for"
    assert actions.open(other, str(uploaded(tmp_path))).region == ""
    assert actions.open_example(other, 0).region == ""


def test_a_dropped_edit_can_be_the_photo_itself(actions: Actions, visit: Visit, tmp_path: Path) -> None:
    actions.edit(visit, asked("tiny"), quiet)
    content = actions.download(visit, "PNG").read_bytes()
    other = Visit(tmp_path / "other")
    for _ in range(2):
        (tmp_path / "edit.png").write_bytes(content)
        actions.open(other, str(tmp_path / "edit.png"))
    assert other.photo is not None


def test_the_edit_is_told_for_a_terminal_and_for_python(actions: Actions, visit: Visit) -> None:
    assert actions.ways(visit) == ("", "")
    actions.edit(visit, asked("tiny"), quiet)
    command, python = actions.ways(visit)
    assert command.splitlines()[-1].startswith("edit-real edit ") and NEW in command
    compile(python, "edit", "exec")


def test_downloads_need_an_edit(actions: Actions, visit: Visit) -> None:
    with pytest.raises(EditRealError, match="no edit to download"):
        actions.download(visit, "PNG")
    actions.edit(visit, asked("tiny"), quiet)
    assert read_recipe(actions.download(visit, "PNG", recipe=False)) is None
    with pytest.raises(EditRealError, match="format"):
        actions.download(visit, "../../x")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"caption": ""}, "caption"),
        ({"new_caption": "  "}, "caption"),
        ({"blend_words": "piano"}, "piano"),
        ({"region": "1 2 3"}, "region"),
        ({"region": "0 0 9000 10"}, "region"),
        ({"mask_threshold": "0"}, "mask_threshold"),
        ({"strokes": "data:image/png;base64,xxxx"}, "strokes"),
    ],
)
def test_what_cannot_be_edited_is_one_sentence_and_loses_nothing(
    actions: Actions, visit: Visit, changed: dict[str, str], said: str
) -> None:
    shown = told(lambda: actions.edit(visit, asked("tiny", **changed), quiet))
    assert shown.kind == "refused" and said in shown.note
    assert not visit.history.edits and visit.photo is not None


def test_what_fails_is_said_plainly_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Shown:
        raise RuntimeError("a secret")

    def stopped() -> Shown:
        raise Cancelled

    assert told(broken).note == BROKEN and "a secret" in caplog.text
    assert told(stopped).note == STOPPED


def test_a_model_that_is_not_offered_is_refused(actions: Actions, visit: Visit) -> None:
    assert told(lambda: actions.edit(visit, asked("/etc"), quiet)).kind == "refused"


def test_programs_edit_without_a_second_inversion(actions: Actions, tmp_path: Path) -> None:
    visit, quick = Visit(tmp_path / "program"), dict(QUICK)
    first, file = actions.edit_file(visit, str(uploaded(tmp_path)), CAPTION, NEW, quick, None)
    assert file.is_relative_to(visit.folder) and first.number == 1
    second, _ = actions.edit_file(
        visit, str(uploaded(tmp_path)), CAPTION, NEW, {**quick, "self_replace": [0.1, 0.4]}, None
    )
    assert second.number == 2 and second.request.settings.self_replace == (0.1, 0.4)
    assert second.result().trajectory is first.result().trajectory
    assert actions.mask_file(visit, str(uploaded(tmp_path)), CAPTION, NEW, quick, None).is_file()


def test_programs_cannot_name_files(actions: Actions, tmp_path: Path) -> None:
    with pytest.raises(EditRealError, match="include_mask"):
        actions.edit_file(
            Visit(tmp_path / "program"), str(uploaded(tmp_path)), CAPTION, NEW, {"include_mask": "/etc/passwd"}, None
        )


def test_regions_are_four_numbers() -> None:
    assert read_region(" ") is None and read_region("1, 2 3 4") == (1, 2, 3, 4)


def test_an_example_brings_its_settings_in_the_place_of_the_last_ones(backbone: Backbone, tmp_path: Path) -> None:
    plain = Sample("flower", CAPTION, {"cat": NEW}, "numpy", picture)
    own = Sample("suit", CAPTION, {"cat": NEW}, "numpy", picture, {"mask_threshold": 0.8})
    actions = Actions(Models(["tiny"], load=lambda name: backbone), [plain, own])
    visit = Visit(tmp_path / "visit")
    cut = [read_form(actions.open_example(visit, number).form)[1].mask_threshold for number in (0, 1, 0)]
    assert cut == [None, 0.8, None]
    assert Actions(actions.models, [plain]).open_example(visit, 0).form is None


def test_the_settings_of_an_example_go_with_it(backbone: Backbone, tmp_path: Path) -> None:
    plain = Sample("flower", CAPTION, {"cat": NEW}, "numpy", picture)
    own = Sample("suit", CAPTION, {"cat": NEW}, "numpy", picture, {"mask_threshold": 0.8})
    actions, visit = Actions(Models(["tiny"], load=lambda name: backbone), [plain, own]), Visit(tmp_path / "visit")
    actions.open_example(visit, 1)
    assert read_form(actions.open(visit, str(uploaded(tmp_path))).form) == (InversionSettings(), EditSettings())
    assert actions.open(visit, str(uploaded(tmp_path))).form is None, "what is set by hand stays"
    actions.open_example(visit, 0)
    assert actions.open(visit, str(uploaded(tmp_path))).form is None
