from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backbones.errors import EditRealError
from editing.settings import EditSettings, InversionSettings
from studio.batch.jobs import Job
from studio.batch.key import LENGTH, Maker, content_key, mask_hashes

MAKER = Maker("f", {"guidance_scale": 7.5, "trust": None}, "float32", ".png", sheet=False, version="1")
JOB = Job(2, Path("/a/a.png"), "a.png", "a red rose", "a white rose")


def name_of(job: Job, photo_hash: str = "hash", maker: Maker = MAKER) -> str:
    return content_key(job, photo_hash, mask_hashes(job), maker)


def test_the_name_is_of_the_content_not_of_where_it_lies() -> None:
    name = name_of(JOB)
    assert len(name) == LENGTH and set(name) <= set("0123456789abcdef")
    assert name_of(replace(JOB, row=9, photo=Path("/b/b.png"), shown="b.png", name="x")) == name


@pytest.mark.parametrize(
    "change",
    [
        {"caption": "a rose"},
        {"new_caption": "a rose"},
        {"region": (0, 0, 30, 30)},
        {"inversion": InversionSettings(steps=49)},
        {"settings": EditSettings(feather=0.5)},
    ],
)
def test_all_that_a_result_depends_on_is_in_its_name(change: dict[str, Any]) -> None:
    assert name_of(replace(JOB, **change)) != name_of(JOB)


def test_photo_and_maker_are_in_the_name() -> None:
    names = {name_of(JOB), name_of(JOB, "other")}
    changes: list[dict[str, Any]] = [{"fingerprint": "g"}, {"dtype": "float16"}, {"suffix": ".jpg"}, {"sheet": True}]
    names |= {name_of(JOB, maker=replace(MAKER, **change)) for change in [*changes, {"version": "2"}]}
    assert len(names) == 7


def test_equal_settings_have_one_name() -> None:
    one = replace(JOB, settings=EditSettings(cross_replace=1, blend_words=["rose"]))
    two = replace(JOB, settings=EditSettings(cross_replace=1.0, blend_words=("rose",)))
    assert name_of(one) == name_of(two)


def test_masks_count_by_their_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path, content in zip(paths, (b"1", b"1", b"2"), strict=True):
        path.write_bytes(content)
    names = [name_of(replace(JOB, settings=EditSettings(include_mask=path))) for path in paths]
    assert names[0] == names[1] != names[2]
    with pytest.raises(EditRealError, match="include_mask"):
        name_of(replace(JOB, settings=EditSettings(include_mask=tmp_path / "d.png")))
