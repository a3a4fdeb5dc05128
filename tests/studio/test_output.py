"""What every way in checks before it works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.errors import EditRealError
from backbones.photo import Photo, open_photo
from editing import attempts
from editing.editor import Editor
from studio.output import check_targets, read_dtype, report
from tests.editing.edits import edit, picture


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
