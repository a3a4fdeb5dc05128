from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backbones.loading import load_backbone
from benchmarks.batch_jobs import WAYS, write_jobs
from benchmarks.batch_kills import contents
from editing.editor import Editor
from studio import cli
from studio.batch import command, engines
from tests.conftest import WHOLE_WORDS


def edit_real(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit status of `edit-real batch ARGUMENTS`."""
    monkeypatch.setattr("sys.argv", ["edit-real", "batch", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    return int(exit_info.value.code or 0)


def test_the_command_edits_and_sums_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, jobs_file: Path, tmp_path: Path, model: str
) -> None:
    out = tmp_path / "out"
    options = ["--model", model, "--workers", 1, "--image-format", "jpg", "--emphasis", 3]
    assert edit_real(monkeypatch, jobs_file, "-o", out, *options) == 0
    said = capsys.readouterr()
    assert "5 of 5 rows done, 5 of them now" in said.out and f"open {out}/index.html" in said.out
    assert "%|" not in said.err  # no bar where there is no terminal
    line = json.loads((out / "results.jsonl").read_text().splitlines()[0])
    record = json.loads((out / line["folder"] / "result.json").read_text())
    assert record["image"] == "image.jpg" and record["settings"]["emphasis"] == 3


def test_a_folder_of_photos_has_its_captions_from_the_command(
    monkeypatch: pytest.MonkeyPatch, jobs_file: Path, tmp_path: Path, model: str
) -> None:
    jobs_file.unlink()
    pair = ["--caption", "a photo of a red rose", "--new-caption", "a photo of a green rose"]
    out = tmp_path / "out"
    options = ["--model", model, "--workers", 1, "--steps", 1]
    assert edit_real(monkeypatch, jobs_file.parent, *pair, "-o", out, *options) == 0
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [line["photo"] for line in lines] == ["0.png", "1.png"]
    assert {line["new_caption"] for line in lines} == {"a photo of a green rose"}


def test_failed_rows_are_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, jobs_file: Path, tmp_path: Path, model: str
) -> None:
    (jobs_file.parent / "1.png").write_text("no photo")
    assert edit_real(monkeypatch, jobs_file, "-o", tmp_path / "out", "--model", model, "--workers", 1) == 1
    assert "2 failed:\n      2  cannot read PHOTO as a photo" in capsys.readouterr().out


def test_check_tells_all_faults_at_once_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path, model: str
) -> None:
    (tmp_path / "jobs").mkdir()
    jobs = write_jobs(tmp_path / "jobs", good=3, bad=len(WAYS), steps=1)
    before = contents(tmp_path)
    monkeypatch.setattr(Editor, "invert", lambda *_, **__: pytest.fail("a photo was inverted"))
    assert edit_real(monkeypatch, jobs, "--check", "--model", model) == 1
    said = capsys.readouterr().out.splitlines()
    found = len(WAYS) - 1  # a photo that is cut short is sound by its head
    assert said[-1] == f"{3 + len(WAYS) - found} of {3 + len(WAYS)} rows can be tried"
    assert len(said) == found + 1 and all(line.startswith("row ") for line in said[:-1])
    assert [int(line.split()[1].rstrip(":")) for line in said[:-1]] == sorted(
        int(line.split()[1].rstrip(":")) for line in said[:-1]
    )
    assert contents(tmp_path) == before


def test_check_says_so_where_nothing_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, jobs_file: Path, model: str
) -> None:
    assert edit_real(monkeypatch, jobs_file, "--check", "--model", model) == 0
    assert capsys.readouterr().out == "5 rows, no fault\n"
    jobs_file.write_text("\n".join(jobs_file.read_text().splitlines()[:2]))
    assert edit_real(monkeypatch, jobs_file, "--check", "--model", model) == 0
    assert capsys.readouterr().out == "1 row, no fault\n"


def test_check_warns_once_of_the_words_of_rows_without_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, jobs_file: Path, model: str
) -> None:
    jobs_file.write_text(jobs_file.read_text().replace("rose", "peony"))
    known = replace(load_backbone(model, device="cpu"), known_words=frozenset(WHOLE_WORDS))
    monkeypatch.setattr(command, "load_backbone", lambda *_: known)
    assert edit_real(monkeypatch, jobs_file, "--check") == 0
    assert capsys.readouterr().err.count("'peony'") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["jobs.csv"], "-o FOLDER"),
        (["missing.csv", "-o", "out"], "found nothing at missing.csv"),
        (["jobs.csv", "-o", "."], "holds photos"),
        (["jobs.csv", "-o", "0.png"], "cannot write to 0.png"),
        (["jobs.csv", "-o", "out", "--engine", "steam"], "engine among local, ray"),
        (["jobs.csv", "-o", "out", "--address", "auto"], "--engine ray"),
        (["jobs.csv", "-o", "out", "--image-format", "bmp"], "image format among png"),
        (["jobs.csv", "-o", "out", "--device", "toaster"], "toaster"),
        (["jobs.csv", "-o", "out", "--dtype", "int8"], "float32"),
        (["jobs.csv", "-o", "out", "--steps", "0"], "steps"),
        (["jobs.csv", "-o", "nowhere://out"], "nowhere"),
        ([".", "--check"], "expected --caption and --new-caption for the photos of a folder"),
        ([".", "-o", "out", "--caption", "a red rose"], "expected --new-caption for the photos of a folder"),
        (["jobs.csv", "--check", "-o", "."], "holds photos"),
        (["jobs.csv", "--check", "--engine", "steam"], "engine among local, ray"),
        (["jobs.csv", "--check", "--image-format", "bmp"], "image format among png"),
    ],
)
def test_what_cannot_run_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    jobs_file: Path,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(jobs_file.parent)
    before = contents(jobs_file.parent)
    assert edit_real(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1 and said.startswith("edit-real: ")
    assert contents(jobs_file.parent) == before


@pytest.mark.parametrize("address", ["file://{}", "{}/../jobs", "~"])
def test_nothing_is_written_beside_photos_however_they_are_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, jobs_file: Path, address: str
) -> None:
    monkeypatch.setenv("HOME", str(jobs_file.parent))
    monkeypatch.setenv("USERPROFILE", str(jobs_file.parent))
    assert edit_real(monkeypatch, jobs_file, f"--out={address.format(jobs_file.parent)}") == 2
    assert "holds photos" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, jobs_file: Path, tmp_path: Path
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setitem(engines.ENGINES, "local", interrupted)
    assert edit_real(monkeypatch, jobs_file, "-o", tmp_path / "out") == command.INTERRUPTED
    assert "stopped" in capsys.readouterr().err
