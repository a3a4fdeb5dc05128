from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from backbones.errors import EditRealError
from backbones.loading import load_backbone
from benchmarks.batch import EDITS, apart, row_seconds, scaling, timed, write_jobs
from benchmarks.edits import Edit
from studio.batch.jobs import read_jobs
from studio.batch.work import Setup


def edits(number: int) -> list[Edit]:
    photo = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    one = Edit(
        name="0",
        kind="colour swap",
        source="0.jpg",
        photo=photo,
        caption="a photo of a red rose",
        new_caption="a photo of a pink rose",
        region=np.ones((32, 32), bool),
        reweight={},
        blend_words=None,
        asked_color="pink",
        asked_label=None,
    )
    return [dataclasses.replace(one, source=f"{place}.jpg") for place in range(number)]


def test_every_photo_gets_other_colours(tmp_path: Path) -> None:
    jobs = read_jobs(write_jobs(edits(3), tmp_path, number=2, steps=4))
    assert len(jobs.jobs) == 2 * EDITS and not jobs.faults
    assert len({job.photo for job in jobs.jobs}) == 2
    assert all(job.caption == "a photo of a red rose" and "red" not in job.new_caption for job in jobs.jobs)
    assert len({job.new_caption for job in jobs.jobs}) == EDITS
    with pytest.raises(EditRealError, match="expected 4 photos"):
        write_jobs(edits(3), tmp_path, number=4, steps=4)


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_rows_are_timed_together_and_apart(tmp_path: Path, model_folder: Path) -> None:
    jobs = read_jobs(write_jobs(edits(1), tmp_path, number=1, steps=1))
    together = timed(jobs, Setup(str(tmp_path / "one"), str(model_folder), "cpu"), workers=1)
    alone = apart(jobs, Setup(str(tmp_path / "apart"), str(model_folder), "cpu"))
    assert together.rows == alone.rows == EDITS and min(together.seconds, alone.seconds) > 0
    folders = [sorted(path.name for path in (tmp_path / name / "results").glob("*/*")) for name in ("one", "apart")]
    assert folders[0] == folders[1] and len(folders[0]) == EDITS
    assert row_seconds(load_backbone(model_folder, "cpu"), 2) > 0


def test_hours_are_rows_times_seconds() -> None:
    rows = scaling(seconds=3.6, price=0.5)
    assert rows[0]["rows"] == "1,000" and rows[0]["hours here"] == pytest.approx(1.0)
    assert rows[0]["hours on 8 such machines"] == pytest.approx(1 / 8) and rows[0]["cost"] == pytest.approx(0.5)
    assert "cost" not in scaling(seconds=3.6, price=0.0)[0]
