from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.errors import EditRealError
from backbones.photo import open_photo
from editing.editor import Editor
from editing.recipe import read_recipe
from editing.result import EditResult
from editing.settings import EditSettings, InversionSettings
from studio.web.brush import Strokes
from studio.web.visit import FORMATS, Edit, Request, Visit, Visits
from studio.web.watched import Cancelled
from tests.editing.edits import half, picture
from tests.studio.web.asked import CAPTION, NEW

QUICK = InversionSettings(inversion="direct", steps=3)
PLAIN = EditSettings(refinement="plain", attempts=1)


def quiet(phase: str, done: int, total: int) -> None: ...


@pytest.fixture
def visit(tmp_path: Path) -> Visit:
    made = Visit(tmp_path / "visit")
    made.open(picture(), "C:\\photos\\my <rose>.jpg")
    return made


def ask(**changes: object) -> Request:
    return Request(**{"caption": CAPTION, "new_caption": NEW, "inversion": QUICK, "settings": PLAIN, **changes})  # type: ignore[arg-type]


def test_a_download_has_the_bytes_that_the_editor_saves(editor: Editor, visit: Visit, tmp_path: Path) -> None:
    edit = visit.edit(editor, ask(), quiet)
    trajectory = editor.invert(picture(), CAPTION, QUICK)
    expected = editor.edit(trajectory, NEW, PLAIN)
    for kind, suffix in FORMATS.items():
        expected.save(tmp_path / f"expected{suffix}")
        assert visit.save(edit, kind).read_bytes() == (tmp_path / f"expected{suffix}").read_bytes()
    assert np.array_equal(np.asarray(edit.result().mask), np.asarray(expected.mask))


def test_settings_can_be_left_out_of_the_file(editor: Editor, visit: Visit) -> None:
    edit = visit.edit(editor, ask(), quiet)
    assert read_recipe(visit.save(edit)) == edit.recipe.shareable()
    assert read_recipe(visit.save(edit, recipe=False)) is None


def test_what_a_file_does_not_keep_is_told(editor: Editor, visit: Visit) -> None:
    clear = np.dstack([picture(), np.full(picture().shape[:2], 99, np.uint8)])
    visit.open(clear)
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        edit = visit.edit(editor, ask(), quiet)
        visit.save(edit, "PNG", tell=told.append)
        assert not told
        visit.save(edit, "JPEG", tell=told.append)
    assert len(told) == 1 and "put on white" in told[0]


def test_the_photo_is_inverted_once_for_many_edits(editor: Editor, visit: Visit) -> None:
    phases: list[str] = []

    def tell(phase: str, done: int, total: int) -> None:
        if done == 0:
            phases.append(phase)

    visit.look(editor, ask(), tell)
    visit.edit(editor, ask(), tell)
    visit.edit(editor, ask(new_caption="a photo of a green rose"), tell)
    assert phases == ["invert", "look", "edit", "edit"]
    visit.edit(editor, ask(caption="a photo of a rose"), tell)
    assert phases[4:] == ["invert", "look", "edit"]


def test_strokes_add_to_the_mask_and_take_away(editor: Editor, visit: Visit) -> None:
    left, right = half(48, 40, left=True), half(48, 40, left=False)
    edit = visit.edit(editor, ask(strokes=Strokes.of(left, right, (40, 48))), quiet)
    mask = np.asarray(edit.result().mask)
    assert (mask[:, 1:19] > 0).all() and (mask[:, 21:] == 0).all()
    assert set(edit.recipe.masks) == {"include_mask", "exclude_mask"}
    assert visit.strokes_of(edit.recipe) == edit.request.strokes


def test_cancel_stops_at_the_next_step_and_leaves_all_as_it_was(editor: Editor, visit: Visit) -> None:
    steps: list[int] = []

    def tell(phase: str, done: int, total: int) -> None:
        if phase == "edit":
            steps.append(done)
            visit.cancel()

    with pytest.raises(Cancelled):
        visit.edit(editor, ask(), tell)
    assert steps == [0] and not visit.history.edits
    with pytest.raises(Cancelled):
        visit.edit(editor, ask(), quiet)
    visit.start()
    assert visit.edit(editor, ask(), quiet).number == 1
    assert editor.backbone.lock.acquire(blocking=False)
    editor.backbone.lock.release()


def test_a_new_photo_stops_what_runs_for_the_one_before(editor: Editor, visit: Visit) -> None:
    def tell(phase: str, done: int, total: int) -> None:
        if phase == "edit" and done == 3:
            visit.open(picture(seed=1))

    with pytest.raises(Cancelled):
        visit.edit(editor, ask(), tell)
    assert not visit.history.edits


def test_a_photo_that_comes_while_an_edit_is_written_has_none_of_it(
    editor: Editor, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = visit._keep

    def interrupted(result: EditResult, request: Request) -> Edit:
        edit = keep(result, request)
        visit.open(picture(seed=1))
        files.extend(edit.files())
        return edit

    files: list[Path] = []
    monkeypatch.setattr(visit, "_keep", interrupted)
    with pytest.raises(Cancelled):
        visit.edit(editor, ask(), quiet)
    assert not visit.history.edits and files and not any(path.exists() for path in files)
    monkeypatch.undo()
    assert visit.edit(editor, ask(), quiet).number == 1


def test_downloads_and_masks_make_room_for_others(
    editor: Editor, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.web.visit.PASSING_KEPT", 2)
    edit = visit.edit(editor, ask(), quiet)
    files = [visit.save(edit), visit.mask(editor, ask(), quiet), visit.look(editor, ask(), quiet)]
    assert [path is not None and path.exists() for path in files] == [False, True, True]
    assert all(path.exists() for path in edit.files())


def test_a_photo_that_cannot_be_read_loses_nothing(editor: Editor, visit: Visit, tmp_path: Path) -> None:
    visit.edit(editor, ask(), quiet)
    fake = tmp_path / "fake.jpg"
    fake.write_text("no picture")
    with pytest.raises(EditRealError, match="cannot read"):
        visit.open(fake)
    assert visit.photo is not None and len(visit.history.edits) == 1


def test_names_of_files_are_plain(visit: Visit, editor: Editor) -> None:
    assert visit.name == "my rose" and visit.file_name == "my rose.jpg"
    assert visit.save(visit.edit(editor, ask(), quiet)).name == "my rose 1.png"
    visit.open(picture(), "../../..")
    assert visit.name == "photo"


def test_the_photos_own_metadata_reaches_the_download(editor: Editor, visit: Visit, tmp_path: Path) -> None:
    source, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    Image.fromarray(picture()).save(source, exif=exif, quality=95)
    visit.open(source, source.name)
    saved = open_photo(visit.save(visit.edit(editor, ask(), quiet), "PNG"))
    assert saved.size == (48, 40)
    assert saved.exif is not None and b"A camera" in saved.exif


def test_a_loaded_mask_is_kept_to(visit: Visit, tmp_path: Path) -> None:
    left = half(48, 40, left=True)
    Image.fromarray(left).save(tmp_path / "mask.png")
    add, protect = visit.read_strokes(tmp_path / "mask.png").masks((40, 48))
    assert np.array_equal(add, left) and np.array_equal(protect, ~left)
    clear = Image.new("RGBA", (40, 48), (255, 255, 255, 0))  # white where nothing is seen
    clear.paste((255, 255, 255, 255), (0, 0, 20, 48))
    for size in ((40, 48), (80, 96)):
        clear.resize(size, Image.Resampling.NEAREST).save(tmp_path / "clear.png")
        add, _ = visit.read_strokes(tmp_path / "clear.png").masks((40, 48))
        assert np.array_equal(add, left)
    Image.new("L", (90, 10), 255).save(tmp_path / "other.png")
    with pytest.raises(EditRealError, match="photo's shape"):
        visit.read_strokes(tmp_path / "other.png")


def test_files_of_a_visit_are_its_own_and_gone_with_it(editor: Editor, tmp_path: Path) -> None:
    visits = Visits(tmp_path)
    one, other = visits.of("one"), visits.of("other")
    assert one is visits.of("one") and one.folder != other.folder
    assert one.folder.stat().st_mode & 0o777 == 0o700
    one.open(picture())
    edit = one.edit(editor, ask(), quiet)
    assert all(path.is_relative_to(one.folder) for path in edit.files())
    visits.close()
    assert not list(tmp_path.iterdir()) and not len(visits)


def test_visits_end_when_left_or_idle_but_not_at_once(tmp_path: Path) -> None:
    visits = Visits(tmp_path, idle=0.2, left=0.05)
    visits.of("one")
    visits.leave("one")
    visits.of("one")  # a phone that slept is back
    visits.sweep()
    assert len(visits) == 1
    visits.leave("one")
    time.sleep(0.1)
    visits.sweep()
    assert not len(visits)
    visits.of("two")
    time.sleep(0.25)
    visits.sweep()
    assert not len(visits) and not list(tmp_path.iterdir())


def test_who_comes_back_to_a_visit_that_is_over_is_told(editor: Editor, tmp_path: Path) -> None:
    visits = Visits(tmp_path, idle=0.1)
    visits.of("one").open(picture())
    time.sleep(0.15)
    visits.sweep()
    with pytest.raises(EditRealError, match="was put away, since the page was left alone"):
        visits.of("one").mask(editor, ask(), quiet)
    visits.of("two")
    time.sleep(0.15)
    visits.sweep()
    for never in ("two", "three"):
        with pytest.raises(EditRealError, match="there is no photo yet"):
            visits.of(never).mask(editor, ask(), quiet)


def test_nothing_of_a_photo_is_kept_when_its_visit_is_over(editor: Editor, visit: Visit) -> None:
    visit.edit(editor, ask(), quiet)
    assert editor._photos and editor._sources
    visit.close()
    assert not editor._photos and not editor._sources


def test_nothing_of_a_photo_is_kept_whose_inversion_was_stopped(editor: Editor, visit: Visit) -> None:
    with pytest.raises(Cancelled):
        visit.edit(editor, ask(), lambda *_: visit.cancel())
    visit.close()
    assert not editor._photos and not editor._sources


def test_there_are_only_so_many_visitors(tmp_path: Path) -> None:
    visits = Visits(tmp_path, most=2)
    for key in ("one", "two"):
        visits.of(key).open(picture())
    with pytest.raises(EditRealError, match="too many people"):
        visits.of("three")
    assert visits.of("one").photo is not None


def test_who_has_no_photo_yet_makes_room_for_others(tmp_path: Path) -> None:
    """So that nobody can take all places by knocking often."""
    visits = Visits(tmp_path, most=2)
    visits.of("one").open(picture())
    first = visits.of("0")
    for number in range(1, 5):
        visits.of(str(number))
    assert len(visits) == 2 and visits.of("one").photo is not None
    assert not first.folder.exists()


def test_old_edits_make_room_and_their_files_go(editor: Editor, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.web.visit.EDITS_KEPT", 2)
    first, *_ = [visit.edit(editor, ask(), quiet) for _ in range(3)]
    assert [edit.number for edit in visit.history.edits] == [2, 3]
    assert not any(path.exists() for path in first.files())
