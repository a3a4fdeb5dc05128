"""What every way in checks before it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.photo import Photo, open_photo
from editing import attempts
from editing.editor import Editor
from editing.plan import plan_edit
from editing.settings import EditSettings
from studio.output import check_targets, read_dtype, report, report_mask
from tests.editing.edits import CAPTION, edit, picture


@pytest.fixture
def photo() -> Photo:
    return open_photo(np.zeros((8, 8, 3), np.uint8))


def test_targets_that_do_not_exist_yet_are_fine(photo: Photo, tmp_path: Path) -> None:
    check_targets([tmp_path / "out.png", None, tmp_path / "mask.png"], photo, overwrite=False)
    assert not list(tmp_path.iterdir())


def test_one_file_for_two_pictures_is_refused_however_it_is_spelled(photo: Photo, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    twice = [tmp_path / "out.png", tmp_path / "folder" / ".." / "out.png"]
    with pytest.raises(EditRealError, match="more than once"):
        check_targets(twice, photo, overwrite=True)


def test_a_file_that_exists_needs_leave(photo: Photo, tmp_path: Path) -> None:
    (tmp_path / "out.png").touch()
    with pytest.raises(EditRealError, match="overwrite"):
        check_targets([None, tmp_path / "out.png"], photo, overwrite=False)
    check_targets([None, tmp_path / "out.png"], photo, overwrite=True)


def test_a_link_that_leads_to_itself_is_a_file_to_replace(photo: Photo, tmp_path: Path) -> None:
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    check_targets([loop, tmp_path / "mask.png"], photo, overwrite=True)
    with pytest.raises(EditRealError, match="more than once"):
        check_targets([loop, loop], photo, overwrite=True)


def test_number_formats() -> None:
    assert [read_dtype(name) for name in ("float16", "bfloat16", None)] == [torch.float16, torch.bfloat16, None]
    with pytest.raises(EditRealError, match=r"^expected a dtype among float32, bfloat16, float16, got 'int8'$"):
        read_dtype("int8")


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_all_attempts_are_told_with_the_one_that_was_taken(
    editor: Editor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(attempts, "NEXT", {"empty": {"default": ({"emphasis": 4.0},)}})
    report(edit(editor, picture(), blend_words=(), attempts=3), Path("rose.png"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "wrote rose.png",
        "attempt 1, as asked, which was taken",
        "attempt 2, emphasis 4.0",
    ]
    report(edit(editor, picture()), Path("rose.png"))
    assert len(capsys.readouterr().out.splitlines()) == 1


EMPTY = Image.new("L", (40, 48))
OTHER_PLACE = "An edit still finds its place"


@pytest.mark.parametrize(
    ("new_caption", "options", "why"),
    [
        (CAPTION, {}, "asks for no change"),
        ("a photo of a rose red", {}, "asks for no change"),
        ("a photo of a red cat", {"exclude_mask": np.ones((48, 40), bool)}, "protect or exclude less"),
        ("a photo of a red cat", {"protect_words": ["rose"]}, "protect or exclude less"),
        ("a photo of a red cat", {"blend_words": ["red"]}, "not seen in the photo"),
        ("a photo of a red rose with a hat", {"blend_words": ["hat"]}, OTHER_PLACE),
    ],
)
@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_an_empty_mask_is_explained_by_what_was_asked(
    backbone: Backbone, capsys: pytest.CaptureFixture[str], new_caption: str, options: dict[str, Any], why: str
) -> None:
    plan = plan_edit(backbone, CAPTION, new_caption, (40, 48), EditSettings(**options), range(1))
    report_mask(EMPTY, plan, Path("mask.png"))
    said = capsys.readouterr()
    assert said.out == "wrote mask.png: 0.0% of the photo\n"
    assert why in said.err and (OTHER_PLACE in said.err) == (why == OTHER_PLACE)


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_a_mask_is_told_with_what_its_strokes_serve_for(backbone: Backbone, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_edit(backbone, CAPTION, "a photo of a red cat", (40, 48), EditSettings(), range(1))
    report_mask(Image.new("L", (40, 48), 255), plan, Path("mask.png"))
    said = capsys.readouterr().out
    assert "add goes back to `edit` as --include-mask" in said and "paint out as a white --exclude-mask" in said
