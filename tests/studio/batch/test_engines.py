from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from backbones.errors import EditRealError
from benchmarks.batch_jobs import WAYS, write_jobs
from benchmarks.batch_kills import contents
from studio.batch import ray_engine, workers
from studio.batch.engines import Machines
from studio.batch.jobs import read_jobs
from studio.batch.outcome import StoppedError
from studio.batch.ray_engine import from_anywhere
from studio.batch.run import run_batch
from studio.batch.work import Setup
from studio.batch.workers import default_workers

ROOT = Path(__file__).parents[3]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """More rows than workers, some of them bad."""
    (tmp_path / "many").mkdir()
    return write_jobs(tmp_path / "many", good=12, bad=len(WAYS), steps=1)


def test_two_processes_write_the_bytes_of_one(run: Any, many: Path, tmp_path: Path, model: str) -> None:
    run(many, tmp_path / "one")
    setup = Setup(str(tmp_path / "two"), model, device="cpu")
    summary = run_batch(read_jobs(many), setup, machines=Machines(workers=2))
    assert (summary.done, summary.failed) == (12, len(WAYS))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_what_no_process_can_do_is_told_once(many: Path, tmp_path: Path) -> None:
    with pytest.raises(EditRealError, match="expected a diffusers pipeline folder"):
        run_batch(read_jobs(many), Setup(str(tmp_path / "out"), str(tmp_path)), machines=Machines(workers=2))
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_process_that_is_killed_is_replaced(
    monkeypatch: pytest.MonkeyPatch, run: Any, many: Path, tmp_path: Path, model: str
) -> None:
    """The first that is ready is killed once."""
    real, killed = workers._hear, list[int]()

    def hear(worker: Any) -> Any:
        yield from real(worker)
        if worker.ready and not killed:
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)

    monkeypatch.setattr(workers, "_hear", hear)
    setup = Setup(str(tmp_path / "two"), model, device="cpu")
    assert run_batch(read_jobs(many), setup, machines=Machines(workers=2)).done == 12
    assert killed
    monkeypatch.undo()
    run(many, tmp_path / "one")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.slow
def test_a_row_that_kills_every_process_is_given_up_and_no_other(
    monkeypatch: pytest.MonkeyPatch, jobs_file: Path, tmp_path: Path, model: str
) -> None:
    """Whoever has the first photo is killed."""
    real, bad = workers._hand_out, read_jobs(jobs_file).jobs[0]

    def hand_out(worker: Any, queue: Any) -> None:
        real(worker, queue)
        if worker.ready and worker.attempts and bad.row in worker.attempts[0].left:
            os.kill(worker.process.pid, signal.SIGKILL)

    monkeypatch.setattr(workers, "_hand_out", hand_out)
    setup = Setup(str(tmp_path / "out"), model, device="cpu")
    summary = run_batch(read_jobs(jobs_file), setup, machines=Machines(workers=2))
    (reason,) = summary.failures
    assert bad.row in reason.rows and "signal 9" in reason.text and "3 times" in reason.text
    assert summary.done >= 2


@pytest.mark.slow
def test_a_process_that_cannot_start_stops_the_run(
    monkeypatch: pytest.MonkeyPatch, jobs_file: Path, tmp_path: Path, model: str
) -> None:
    monkeypatch.setattr(workers, "_work", os._exit)  # called with what is no number, it fails as it starts
    with pytest.raises(StoppedError, match="while it loaded the model"):
        run_batch(read_jobs(jobs_file), Setup(str(tmp_path / "out"), model), machines=Machines(workers=2))


# In every process, which runs the script again as it starts.
BROKEN = """
import errno, os, sys
from pathlib import Path
from editing.editor import Editor
from studio.cli import main

real, sick = Editor.edit, list[bool]()

def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

def edit(*arguments, **options):
    first = not Path("sick").exists()
    Path("sick").touch()
    if first or sick:
        sick.append(True)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return real(*arguments, **options)

if os.environ["BROKEN"] == "full":
    os.rename = full
else:
    Editor.edit = edit
if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("what", "status"), [("full", 2), ("sick", 0)])
def test_what_breaks_a_process_is_heard_of(jobs_file: Path, tmp_path: Path, model: str, what: str, status: int) -> None:
    """A full disk ends the run; a card that fails one process does not."""
    (tmp_path / "run.py").write_text(BROKEN)
    command = [sys.executable, "run.py", "batch", jobs_file, "-o", "out", "--model", model, "--workers", 2]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "BROKEN": what}
    done = subprocess.run(
        list(map(str, command)), env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == status, done.stderr
    assert "make room" in done.stderr if what == "full" else "5 of 5 rows done" in done.stdout


INTERRUPTED = """
import sys
from studio.cli import main
sys.argv = ["edit-real", "batch", *sys.argv[1:]]
if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_ctrl_c_ends_all_processes_and_says_how_to_go_on(
    many: Path, tmp_path: Path, model: str, run: Any, number: str
) -> None:
    script, out = tmp_path / "run.py", tmp_path / "out"
    script.write_text(INTERRUPTED)
    command = [sys.executable, script, many, "-o", out, "--model", model, "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        list(map(str, command)), env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while process.poll() is None and not list(out.glob("results/*/[!.]*")):
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, getattr(signal, number)) if number == "SIGINT" else process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "the same command goes on" in said and "Traceback" not in said
    psutil.wait_procs(children, timeout=30)
    assert not any(child.is_running() for child in children)
    assert not list(out.rglob("*.part"))
    run(many, out)
    run(many, tmp_path / "calm")
    assert contents(out) == contents(tmp_path / "calm")


def test_workers_suit_the_machine(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(workers, "free_memory", lambda _: 64 << 30)
    assert default_workers(model, "cpu", threads=1) == 8
    assert default_workers(model, "cpu", threads=3) == 2
    assert default_workers(model, "cpu", threads=16) == 1
    monkeypatch.setattr(workers, "free_memory", lambda _: 3 << 30)
    assert default_workers(model, "cpu", threads=1) == 2
    monkeypatch.setattr(workers.torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(workers, "find_device", lambda name: workers.torch.device(name or "cuda"))
    assert default_workers(model, None, threads=1) == 4
    assert default_workers(model, "cuda:1", threads=1) == 1
    assert default_workers(model, "mps", threads=1) == 1
    setup = Setup("out", model)
    assert [workers._device_of(n, setup) for n in range(5)] == ["cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:0"]
    assert workers._device_of(3, replace(setup, device="cuda:1")) == "cuda:1"
    assert workers._device_of(3, replace(setup, device="cpu")) == "cpu"


def test_a_cluster_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, jobs_file: Path, tmp_path: Path, model: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    setup = Setup(str(tmp_path / "out"), model)
    with pytest.raises(EditRealError, match=r"pip install 'edit-real\[batch\]'"):
        run_batch(read_jobs(jobs_file), setup, engine="ray")


def test_what_a_cluster_says_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class RayError(Exception):
        pass

    ended = list[bool]()
    stand_in = SimpleNamespace(
        init=lambda **_: None,
        shutdown=lambda: ended.append(True),
        exceptions=SimpleNamespace(RayError=RayError),
        data=SimpleNamespace(DataContext=SimpleNamespace(get_current=SimpleNamespace)),
    )
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: stand_in)
    with pytest.raises(StoppedError, match=r"gave up \(a machine was lost\); see to"), ray_engine._cluster("auto"):
        raise RayError("a machine was lost\nTraceback ...")
    assert ended


def test_a_cluster_is_told_absolute_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model", "bundled"):
        (tmp_path / name).mkdir()
    told = from_anywhere(Setup("out", "model"))
    assert (told.out, told.model) == (str(tmp_path / "out"), str(tmp_path / "model"))
    for setup in (Setup("s3://bucket/out", "bundled"), Setup(str(tmp_path), "some/model")):
        assert from_anywhere(setup) == setup


@pytest.mark.slow
def test_a_cluster_that_loses_workers_writes_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, run: Any, many: Path, tmp_path: Path, model: str
) -> None:
    """Started here, gone on with by Ray, whose first actors are killed."""
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the processes that Ray starts
    setup, out, ended = Setup(str(tmp_path / "out"), model, device="cpu"), tmp_path / "out", list[int]()
    part = many.parent / "part.csv"
    part.write_bytes(b"\n".join(many.read_bytes().splitlines()[:6]))
    run(part, out)
    stood = len(list(out.glob("results/*/[!.]*")))

    def kill_actors() -> None:
        while len(ended) < 2:
            for child in psutil.Process().children(recursive=True):
                written = len(list(out.glob("results/*/[!.]*"))) - stood
                if len(ended) < 2 and written > len(ended) and "RayEditor" in " ".join(child.cmdline()):
                    child.kill()
                    ended.append(child.pid)
            time.sleep(0.05)

    killer = Thread(target=kill_actors, daemon=True)
    killer.start()
    summary = run_batch(read_jobs(many), setup, engine="ray", machines=Machines(workers=2))
    assert (summary.done, summary.failed) == (12, len(WAYS)) and summary.edited < 12
    assert ended
    run(many, tmp_path / "calm")
    assert contents(out) == contents(tmp_path / "calm")
