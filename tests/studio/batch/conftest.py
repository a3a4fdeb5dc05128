"""Small batches of the tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.batch_jobs import write_jobs
from studio.batch.engines import Machines
from studio.batch.jobs import read_jobs
from studio.batch.run import run_batch
from studio.batch.summary import Summary
from studio.batch.work import Setup
from tests.conftest import write_pipeline

ALONE = Machines(workers=1)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model's folder; one prediction type will do."""
    return str(write_pipeline(tmp_path_factory.mktemp("batch") / "model", "epsilon"))


@pytest.fixture
def jobs_file(tmp_path: Path) -> Path:
    """Five rows of two photos."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    return write_jobs(folder, good=5, bad=0, steps=1)


@pytest.fixture(scope="session")
def run(model: str) -> Any:
    """`run(jobs_file, out, **options)`, in this process."""

    def run_here(jobs_file: Path, out: Path | str, retry_failed: bool = False, **setup: Any) -> Summary:
        given = Setup(str(out), **{"model": model, "device": "cpu", **setup})
        return run_batch(read_jobs(jobs_file), given, machines=ALONE, retry_failed=retry_failed)

    return run_here
