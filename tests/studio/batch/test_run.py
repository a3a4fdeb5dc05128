from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.errors import EditRealError
from benchmarks.batch_jobs import WAYS, write_jobs
from benchmarks.batch_kills import contents
from editing.editor import Editor
from studio.batch import work
from studio.batch.jobs import read_jobs
from studio.batch.outcome import Outcome, StoppedError
from studio.batch.store import LOCK, FolderStore
from studio.batch.work import Group, Setup, at_desk, group_jobs

ROOT = Path(__file__).parents[3]


def lines_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    found = {path: path.stat() for path in (out / "results").rglob("*") if path.is_file()}
    return {str(path): (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


@pytest.fixture
def inversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photos' hashes, of every inversion."""
    seen: list[str] = []
    real = Editor.invert

    def invert(self: Editor, img: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(img.pixel_hash)
        return real(self, img, *arguments, **options)

    monkeypatch.setattr(Editor, "invert", invert)
    return seen


def test_a_run_writes_everything_and_shares_inversions(
    run: Any, jobs_file: Path, tmp_path: Path, inversions: list[str]
) -> None:
    before, out = contents(jobs_file.parent), tmp_path / "out"
    summary = run(jobs_file, out, sheet=True)
    assert (summary.rows, summary.done, summary.failed, summary.edited) == (5, 5, 0, 5)
    assert len(inversions) == len(set(inversions)) == 2
    assert contents(jobs_file.parent) == before
    lines = lines_of(out)
    assert [line["row"] for line in lines] == [2, 3, 4, 5, 6]
    for line in lines:
        folder = out / line["folder"]
        names = {"image.png", "mask.png", "result.json", "sheet.png", "before.jpg", "after.jpg"}
        assert {path.name for path in folder.iterdir()} == names
        photo = np.asarray(Image.open(jobs_file.parent / line["photo"]))
        image, mask = (np.asarray(Image.open(folder / name)) for name in ("image.png", "mask.png"))
        assert (image[mask[..., 0] == 0] == photo[mask[..., 0] == 0]).all()
        record = json.loads((folder / "result.json").read_text())
        assert record["settings"]["new_caption"] == line["new_caption"] and record["settings"]["steps"] == 1
    assert json.loads((out / "summary.json").read_text())["done"] == 5
    assert (out / "index.html").read_text().count("<figure") == 5


def test_an_edit_of_a_batch_is_the_edit_alone(run: Any, jobs_file: Path, tmp_path: Path, model: str) -> None:
    run(jobs_file, tmp_path / "out")
    line = lines_of(tmp_path / "out")[1]
    with at_desk(Setup(str(tmp_path / "other"), model, device="cpu")) as desk:
        trajectory = desk.editor.invert(jobs_file.parent / line["photo"], line["caption"], steps=1)
        alone = desk.editor.edit(trajectory, line["new_caption"])
    image = np.asarray(Image.open(tmp_path / "out" / line["folder"] / "image.png"))
    assert (np.asarray(alone.image) == image).all()


def test_a_second_run_does_nothing_again(run: Any, jobs_file: Path, tmp_path: Path, inversions: list[str]) -> None:
    out = tmp_path / "out"
    run(jobs_file, out)
    first, written = contents(out), stamps(out)
    inversions.clear()
    summary = run(jobs_file, out)
    assert (summary.done, summary.edited, summary.seconds_a_row) == (5, 0, None)
    assert not inversions and contents(out) == first and stamps(out) == written


def test_rows_may_be_added_and_taken_away(run: Any, jobs_file: Path, tmp_path: Path) -> None:
    out, text = tmp_path / "out", jobs_file.read_text().splitlines()
    jobs_file.write_text("\n".join(text[:3]))
    run(jobs_file, out)
    jobs_file.write_text("\n".join([text[0], *text[2:]]))
    summary = run(jobs_file, out)
    assert (summary.rows, summary.done, summary.edited) == (4, 4, 3)
    assert [line["row"] for line in lines_of(out)] == [2, 3, 4, 5]
    assert len(list((out / "results").glob("*/*"))) == 5


def test_a_copy_of_a_photo_has_the_same_result(run: Any, jobs_file: Path, tmp_path: Path) -> None:
    shutil.copy(jobs_file.parent / "0.png", jobs_file.parent / "copy.png")
    jobs_file.write_text("\n".join([*jobs_file.read_text().splitlines()[:2], "copy.png,a photo of a red rose,,,,1"]))
    jobs_file.write_text(jobs_file.read_text().replace("rose,,,,1", "rose,a photo of a green rose,,,1"))
    summary = run(jobs_file, tmp_path / "out")
    first, second = lines_of(tmp_path / "out")
    assert summary.done == 2 and first["folder"] == second["folder"] and second["photo"] == "copy.png"


def test_a_row_that_asks_what_another_does_has_its_result(
    run: Any, jobs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, row = jobs_file.read_text().splitlines()[:2]
    jobs_file.write_text("\n".join([f"{head},name", f"{row},SKU 1", f"{row},SKU 2"]))
    summary = run(jobs_file, tmp_path / "out")
    first, second = lines_of(tmp_path / "out")
    assert (summary.rows, summary.done, summary.edited) == (2, 2, 1)
    assert (first["name"], second["name"]) == ("SKU 1", "SKU 2")
    assert {**first, "row": 3, "name": "SKU 2"} == second


def test_bad_rows_of_every_way_are_reasons_and_the_others_results(run: Any, tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    jobs_file = write_jobs(tmp_path / "jobs", good=6, bad=len(WAYS), steps=1)
    summary = run(jobs_file, tmp_path / "out")
    assert (summary.done, summary.failed) == (6, len(WAYS))
    reasons = [line["reason"] for line in lines_of(tmp_path / "out") if line["status"] == "failed"]
    told = ("no such file", "damaged", "formats", "pixels", "steps as", "'tulip'", "caption of a few", "include_mask")
    told += ("UTF-8", "line breaks", "closed/")
    assert all(part in reason for part, reason in zip(told, reasons, strict=True)), reasons
    assert not any("unexpected" in reason or "\n" in reason for reason in reasons)
    named = [row for reason in summary.failures for row in reason.rows]
    assert len(named) == len(set(named)) == len(WAYS)
    assert f"{len(WAYS)} failed:" in summary.text()


def failing_at(word: str, message: str) -> Any:
    """`Editor.edit`, which fails where the new caption has a word."""
    real = Editor.edit

    def broken(self: Editor, trajectory: Any, new_caption: str, *arguments: Any, **options: Any) -> Any:
        if word in new_caption:
            raise RuntimeError(message)
        return real(self, trajectory, new_caption, *arguments, **options)

    return broken


def test_what_failed_is_left_alone_until_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, run: Any, jobs_file: Path, tmp_path: Path, inversions: list[str]
) -> None:
    out, real = tmp_path / "out", Editor.edit
    monkeypatch.setattr(Editor, "edit", failing_at("dog", "the card fell out\nof the machine"))
    assert run(jobs_file, out).failed == 2
    monkeypatch.setattr(Editor, "edit", real)
    (failed, *_) = (line for line in lines_of(out) if line["status"] == "failed")
    assert failed["reason"] == "an unexpected RuntimeError: the card fell out" and "broken" in failed["trace"]
    inversions.clear()
    before = contents(out)
    again = run(jobs_file, out)
    assert (again.failed, again.edited, inversions) == (2, 0, [])
    assert contents(out) == before
    assert run(jobs_file, out, retry_failed=True).edited == 2
    assert {line["status"] for line in lines_of(out)} == {"done"}


def test_what_the_machine_was_short_of_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, run: Any, jobs_file: Path, tmp_path: Path
) -> None:
    def short(self: Editor, trajectory: Any, new_caption: str, *arguments: Any, **options: Any) -> Any:
        if "dog" in new_caption:
            raise torch.OutOfMemoryError("no room")
        return real(self, trajectory, new_caption, *arguments, **options)

    out, real = tmp_path / "out", Editor.edit
    monkeypatch.setattr(Editor, "edit", short)
    assert run(jobs_file, out).failed == 2
    assert any("fewer workers" in line.get("reason", "") for line in lines_of(out))
    monkeypatch.setattr(Editor, "edit", real)
    assert run(jobs_file, out).edited == 2
    assert {line["status"] for line in lines_of(out)} == {"done"}


def test_a_photo_that_comes_later_is_edited_then(run: Any, jobs_file: Path, tmp_path: Path) -> None:
    photo, away = jobs_file.parent / "1.png", tmp_path / "away.png"
    photo.rename(away)
    assert run(jobs_file, tmp_path / "out").failed == 2
    away.rename(photo)
    assert run(jobs_file, tmp_path / "out").done == 5


def test_a_mask_that_is_changed_or_gone_is_a_row_to_try_again(
    monkeypatch: pytest.MonkeyPatch, run: Any, jobs_file: Path, tmp_path: Path
) -> None:
    mask, out = jobs_file.parent / "mask.png", tmp_path / "out"
    jobs_file.write_text("\n".join([*jobs_file.read_text().splitlines()[:4]]).replace(",,,1", ",,mask.png,1"))

    def then(do: Any) -> Any:
        def edit(*arguments: Any, **options: Any) -> Any:
            result = real(*arguments, **options)
            do()
            return result

        return edit

    real = Editor.edit
    for do, failed in ((lambda: Image.new("L", (48, 48), 200).save(mask), 3), (mask.unlink, 3), (lambda: None, 0)):
        Image.new("L", (48, 48), 255).save(mask)
        monkeypatch.setattr(Editor, "edit", then(do))
        assert run(jobs_file, out).failed == failed
        assert all(line["key"] is None for line in lines_of(out) if line["status"] == "failed")
    digest = hashlib.sha256(mask.read_bytes()).hexdigest()
    for line in lines_of(out):
        assert json.loads((out / line["folder"] / "result.json").read_text())["settings"]["include_mask"] == digest


def test_a_card_that_fails_ends_the_run_which_goes_on_after(
    monkeypatch: pytest.MonkeyPatch, run: Any, jobs_file: Path, tmp_path: Path
) -> None:
    out, real = tmp_path / "out", Editor.edit
    monkeypatch.setattr(Editor, "edit", failing_at("cat", "CUDA error: an illegal memory access was encountered"))
    with pytest.raises(StoppedError, match="failed at row 4"):
        run(jobs_file, out)
    monkeypatch.setattr(Editor, "edit", real)
    summary = run(jobs_file, out)
    assert (summary.done, summary.edited) == (5, 3)


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names are Unicode there")
def test_names_and_words_that_are_no_text_are_rows_that_failed(run: Any, jobs_file: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in (b"a.png", b"ros\xe9.png"):
        shutil.copy(jobs_file.parent / "0.png", os.fsencode(photos) + b"/" + name)
    lines = [
        {"photo": name, "caption": "a red rose", "new_caption": "a cat", "steps": 1} for name in os.listdir(photos)
    ]
    lines += [{**line, "caption": "a red \ud83c rose"} for line in lines]
    jobs = photos / "jobs.jsonl"
    jobs.write_text("\n".join(map(json.dumps, lines)))
    summary = run(jobs, tmp_path / "out")
    assert (summary.done, summary.failed) == (1, 3)
    assert {line["photo"] for line in lines_of(tmp_path / "out")} == {"a.png", "ros\udce9.png"}
    assert "ros\\udce9.png" in (tmp_path / "out/index.html").read_text(encoding="utf-8")


def test_a_row_that_cannot_be_read_is_found_by_its_name(run: Any, jobs_file: Path, tmp_path: Path) -> None:
    text = jobs_file.read_text().splitlines()[:2]
    jobs_file.write_text(f"name,{text[0]}\nSKU 1,{text[1][:-1]}many")
    assert run(jobs_file, tmp_path / "out").failed == 1
    (line,) = lines_of(tmp_path / "out")
    assert (line["name"], line["photo"]) == ("SKU 1", "0.png")
    assert "SKU 1" in (tmp_path / "out/index.html").read_text()


def test_an_inversion_that_fails_is_tried_once(
    monkeypatch: pytest.MonkeyPatch, run: Any, jobs_file: Path, tmp_path: Path
) -> None:
    tried: list[object] = []

    def broken(self: Editor, img: Any, *arguments: Any, **options: Any) -> Any:
        tried.append(img)
        raise EditRealError("no way to noise")

    monkeypatch.setattr(Editor, "invert", broken)
    assert run(jobs_file, tmp_path / "out").failed == 5
    assert len(tried) == 2


def test_a_photo_that_changes_while_it_is_read_is_told(
    monkeypatch: pytest.MonkeyPatch, run: Any, jobs_file: Path, tmp_path: Path
) -> None:
    def slow(path: Path) -> Any:
        photo = real(path)
        if path.name == "0.png":
            Image.new("RGB", (48, 48), "red").save(path)
        return photo

    real = work.open_photo
    monkeypatch.setattr(work, "open_photo", slow)
    assert run(jobs_file, tmp_path / "out").failed == 3
    assert "changed while it was read" in lines_of(tmp_path / "out")[0]["reason"]


def test_an_interrupted_run_keeps_what_is_written_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, run: Any, jobs_file: Path, tmp_path: Path
) -> None:
    def interrupted(self: Editor, trajectory: Any, new_caption: str, *arguments: Any, **options: Any) -> Any:
        if "cat" in new_caption:
            raise KeyboardInterrupt
        return real(self, trajectory, new_caption, *arguments, **options)

    real = Editor.edit
    monkeypatch.setattr(Editor, "edit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(jobs_file, tmp_path / "out")
    monkeypatch.setattr(Editor, "edit", real)
    assert len(list((tmp_path / "out/results").glob("*/[!.]*"))) == 2
    assert not list((tmp_path / "out").rglob("*.part"))
    assert run(jobs_file, tmp_path / "out").edited == 3
    run(jobs_file, tmp_path / "calm")
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KB, where one may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_disk_that_fills_up_stops_the_run_which_goes_on_after(
    run: Any, jobs_file: Path, tmp_path: Path, small_disk: Path, suffix: str
) -> None:
    out, ballast = small_disk / "out", small_disk / "ballast"
    ballast.write_bytes(bytes(110_000))
    with pytest.raises(EditRealError, match="make room"):
        run(jobs_file, out, suffix=suffix)
    stood = stamps(out)
    assert stood and not list(out.rglob("*.part"))
    ballast.unlink()
    assert run(jobs_file, out, suffix=suffix).done == 5
    assert stood.items() <= stamps(out).items()
    run(jobs_file, tmp_path / "calm", suffix=suffix)
    assert contents(out) == contents(tmp_path / "calm")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_what_no_row_can_be_written_after_stops_the_run(
    monkeypatch: pytest.MonkeyPatch, run: Any, jobs_file: Path, tmp_path: Path, code: int
) -> None:
    def broken(source: Any, target: Any) -> None:
        raise OSError(code, os.strerror(code))

    real = os.rename
    monkeypatch.setattr(os, "rename", broken)
    with pytest.raises(StoppedError, match=os.strerror(code)):
        run(jobs_file, tmp_path / "out")
    monkeypatch.setattr(os, "rename", real)
    assert not list((tmp_path / "out").rglob("*.part"))
    assert run(jobs_file, tmp_path / "out").done == 5


def test_a_row_that_cannot_be_put_in_its_place_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, run: Any, jobs_file: Path, tmp_path: Path
) -> None:
    run(jobs_file, tmp_path / "calm")
    first = lines_of(tmp_path / "calm")[0]
    blocked = tmp_path / "out" / first["folder"]
    with FolderStore(tmp_path / "out").locked():
        blocked.parent.mkdir(parents=True)
        blocked.write_text("in the way")
    assert run(jobs_file, tmp_path / "out").failed == 1
    assert "cannot write" in lines_of(tmp_path / "out")[0]["reason"]
    blocked.unlink()
    assert run(jobs_file, tmp_path / "out").done == 5
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")


def test_a_model_that_is_not_there_is_told_once(jobs_file: Path, tmp_path: Path, run: Any) -> None:
    with pytest.raises(EditRealError, match="expected a diffusers pipeline folder"):
        run(jobs_file, tmp_path / "out", model=str(tmp_path))


def test_threads_are_put_back(tmp_path: Path, model: str) -> None:
    import torch

    before = torch.get_num_threads()
    with at_desk(Setup(str(tmp_path / "out"), model, device="cpu", threads=before + 1)):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_many_edits_of_one_photo_are_shared_out(jobs_file: Path) -> None:
    (job, *_), most = read_jobs(jobs_file).jobs, work.MOST_ROWS
    groups = group_jobs([job] * (most + 1))
    assert [len(group.jobs) for group in groups] == [most, 1]


def test_outcomes_come_before_the_next_group_is_waited_for(jobs_file: Path, tmp_path: Path, model: str) -> None:
    groups, told = group_jobs(read_jobs(jobs_file).jobs), list[Outcome]()

    def handed_out() -> Iterator[Group]:
        yield groups[0]
        while len(told) < len(groups[0].jobs):  # as a run does that hands out no more until it hears
            sleep(0.01)
        yield groups[1]

    with at_desk(Setup(str(tmp_path / "out"), model, device="cpu")) as desk:
        for outcome in work.edit_groups(desk, handed_out()):
            told.append(outcome)
    assert len(told) == 5 and all(outcome.done for outcome in told)


def test_an_error_is_heard_of_before_the_next_group_comes(
    monkeypatch: pytest.MonkeyPatch, jobs_file: Path, tmp_path: Path, model: str
) -> None:
    groups, told = group_jobs(read_jobs(jobs_file).jobs), Event()

    def handed_out() -> Iterator[Group]:
        yield groups[0]
        told.wait(60)

    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)
    with at_desk(Setup(str(tmp_path / "out"), model, device="cpu")) as desk:
        started = monotonic()
        with pytest.raises(StoppedError):
            list(work.edit_groups(desk, handed_out()))
        assert monotonic() - started < 50
    told.set()


def test_an_address_of_objects_has_the_same_results(run: Any, jobs_file: Path, tmp_path: Path) -> None:
    import fsspec

    address = f"memory://{tmp_path.name}/out"
    assert run(jobs_file, address).edited == 5
    assert run(jobs_file, address).edited == 0
    run(jobs_file, tmp_path / "out")
    files, (_, root) = fsspec.filesystem("memory"), fsspec.core.url_to_fs(address)
    there = {path.removeprefix(f"{root}/"): files.cat_file(path) for path in files.find(root)}
    here = {name: content for name, content in contents(tmp_path / "out").items() if name != LOCK}
    assert {name: content for name, content in there.items() if name != "summary.json"} == here


# In a process of its own, which has computed nothing before it forks.
KILLS = """
import sys
from pathlib import Path
import torch
from benchmarks.batch_kills import kill_and_compare
from studio.commands import quiet_libraries

quiet_libraries()
torch.set_num_threads(1)
told = kill_and_compare(Path(sys.argv[1]), rows=24, bad=12, kills=5, model=sys.argv[2], seed=0)
print(told.done, told.reasons, told.kills)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_kills_at_random_moments_change_no_byte(tmp_path: Path, model: str) -> None:
    without_root = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    as_others = without_root if os.geteuid() == 0 and shutil.which("setpriv") else []
    command = [*as_others, sys.executable, "-c", KILLS, tmp_path, model]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    finished, reasons, kills = map(int, done.stdout.split())
    assert (finished, reasons) == (12, 12) and kills >= 5
