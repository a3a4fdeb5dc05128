from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from backbones.errors import EditRealError
from editing.settings import EditSettings, InversionSettings
from studio.batch.jobs import Defaults, Jobs, read_jobs

ROW = {"photo": "a.png", "caption": "a red rose", "new_caption": "a white rose"}


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def reasons(jobs: Jobs) -> dict[int, str]:
    return {fault.row: fault.reason for fault in jobs.faults}


def test_a_csv_cell_is_what_the_api_takes(tmp_path: Path) -> None:
    head = "photo,caption,new_caption,steps,texture,local_blend,cross_replace,reweight,blend_words,region,mask_rule,"
    row = (
        'sub/a.png,a red rose,a white rose,7,"0,5",no,0.6; white=0:0.4,white=2;rose=0.5,rose; leaf,0 0 40 30,midrange,'
    )
    path = write(tmp_path / "jobs.csv", f"{head}include_mask,name\n{row}mask.png,SKU 1\n")
    (job,) = read_jobs(path).jobs
    assert job.row == 2 and job.photo == tmp_path / "sub/a.png" and job.shown == "sub/a.png" and job.name == "SKU 1"
    assert job.inversion == InversionSettings(steps=7) and job.region == (0, 0, 40, 30)
    assert job.settings == EditSettings(
        texture=0.5,
        local_blend=False,
        cross_replace={"default": 0.6, "white": (0.0, 0.4)},
        reweight={"white": 2.0, "rose": 0.5},
        blend_words=["rose", "leaf"],
        mask_rule="midrange",
        include_mask=tmp_path / "mask.png",
    )


def test_a_json_value_is_what_the_api_takes(tmp_path: Path) -> None:
    own = {"steps": 7, "cross_replace": {"white": [0, 0.4], "default": 0.6}, "texture": None, "region": [0, 0, 4, 3]}
    path = write(tmp_path / "jobs.jsonl", f"\n{json.dumps(ROW | own)}\n")
    (job,) = read_jobs(path).jobs
    assert job.row == 2 and job.inversion.steps == 7 and job.region == (0, 0, 4, 3)
    assert job.settings == EditSettings(cross_replace={"white": (0, 0.4), "default": 0.6})


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("cross_replace", "0,6; white=0:0,4", {"default": 0.6, "white": (0.0, 0.4)}),
        ("self_replace", "0,1:0,8", (0.1, 0.8)),
        ("reweight", "white=0,5; rose=2", {"white": 0.5, "rose": 2.0}),
    ],
)
def test_a_comma_of_a_number_is_its_point_everywhere(tmp_path: Path, column: str, cell: str, value: object) -> None:
    text = ";".join([*ROW, column]) + "\n" + ";".join([*ROW.values(), f'"{cell}"']) + "\n"
    (job,) = read_jobs(write(tmp_path / "jobs.csv", text)).jobs
    assert getattr(job.settings, column) == value


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
@pytest.mark.parametrize("head", [0, 1, 2])
@pytest.mark.parametrize("row", [0, 1, 3])
def test_empty_cells_at_the_end_are_none(tmp_path: Path, delimiter: str, head: int, row: int) -> None:
    lines = [delimiter.join(ROW) + delimiter * head, delimiter.join(ROW.values()) + delimiter * row]
    jobs = read_jobs(write(tmp_path / "jobs.csv", "\n".join(lines)))
    assert [job.new_caption for job in jobs.jobs] == ["a white rose"] and not jobs.faults


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_spreadsheets_of_any_country_are_read(tmp_path: Path, delimiter: str) -> None:
    lines = [delimiter.join(ROW), delimiter.join(ROW.values()), "", delimiter * 2]
    path = write(tmp_path / "jobs.csv", b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    jobs = read_jobs(path)
    assert [job.caption for job in jobs.jobs] == ["a red rose"] and not jobs.faults


def test_a_folder_has_one_caption_pair_for_all(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png"):
        write(tmp_path / name, "")
    (tmp_path / "c.png").mkdir()
    jobs = read_jobs(tmp_path, Defaults("a red rose", "a white rose", settings=EditSettings(feather=0.1)))
    assert [(job.row, job.shown, job.settings.feather) for job in jobs.jobs] == [(1, "a.png", 0.1), (2, "b.JPG", 0.1)]
    with pytest.raises(EditRealError, match=r"^expected --caption and --new-caption for the photos of a folder"):
        read_jobs(tmp_path)


@pytest.mark.parametrize("name", ["~photo.png", "~"])
def test_a_photo_may_be_called_what_a_shell_would_expand(tmp_path: Path, name: str) -> None:
    write(tmp_path / "photos" / f"{name}.png", "")
    (job,) = read_jobs(tmp_path / "photos", Defaults("a red rose", "a white rose")).jobs
    assert job.photo == tmp_path / "photos" / f"{name}.png"
    (job,) = read_jobs(write(tmp_path / "jobs.jsonl", json.dumps(ROW | {"photo": f"{name}.png"}))).jobs
    assert job.photo == tmp_path / f"{name}.png"
    (job,) = read_jobs(write(tmp_path / "jobs.jsonl", json.dumps(ROW | {"photo": "~/rose.png"}))).jobs
    assert job.photo == Path.home() / "rose.png"


def test_rows_go_over_the_defaults(tmp_path: Path) -> None:
    path = write(
        tmp_path / "jobs.jsonl", "\n".join(json.dumps(ROW | own) for own in ({}, {"steps": 3, "feather": 0.2}))
    )
    defaults = Defaults(inversion=InversionSettings(steps=9), settings=EditSettings(feather=0.1, texture=0.5))
    first, second = read_jobs(path, defaults).jobs
    assert (first.inversion.steps, first.settings.feather, first.settings.texture) == (9, 0.1, 0.5)
    assert (second.inversion.steps, second.settings.feather, second.settings.texture) == (3, 0.2, 0.5)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"steps": "0"}, "steps as a whole number of 1 or more"),
        ({"steps": "many"}, "steps as a whole number, got 'many'"),
        ({"steps": "1.5"}, "steps as a whole number, got '1.5'"),
        ({"steps": '"1,000"'}, "write 1000 without a separator"),
        ({"noise_seed": "2.000"}, "write 2000 without a separator"),
        ({"local_blend": "perhaps"}, "local_blend as one of true"),
        ({"self_replace": "x"}, "window"),
        ({"reweight": "rose"}, "pink=2"),
        ({"region": "1 2 3"}, "left top right bottom"),
        ({"region": "1 2 3 4.5"}, "left top right bottom"),
        ({"caption": " "}, "caption of a few words"),
        ({"photo": ""}, "photo's path, got none"),
        ({"photo": '"a\nb.png"'}, "without line breaks"),
        ({"photo": "a\x01.png"}, "control characters"),
        ({"inversion": "magic"}, "inversion among null_text"),
        ({"new_caption": "a ros\udce9 rose"}, "UTF-8"),
    ],
)
def test_a_bad_row_of_csv_is_told_and_keeps_none_back(tmp_path: Path, row: dict[str, str], sentence: str) -> None:
    columns = list(ROW | row)
    good = {**ROW, "photo": "b.png"}
    lines = [columns, [(ROW | row)[name] for name in columns], [good.get(name, "") for name in columns]]
    text = "\n".join(",".join(cells) for cells in lines)
    jobs = read_jobs(write(tmp_path / "jobs.csv", text.encode("utf-8", "surrogateescape")))
    assert sentence in reasons(jobs)[2]
    assert [(job.row, job.shown) for job in jobs.jobs] == [(3, "b.png")]


@pytest.mark.parametrize("own", [{"steps": "many"}, {"steps": "0"}, {"caption": "a ros\udce9"}, {"mask_rule": "a,b"}])
def test_a_bad_row_is_known_by_its_photo_and_name(tmp_path: Path, own: dict[str, str]) -> None:
    row = {"name": "SKU 1"} | ROW | own
    text = "\n".join(",".join(cells) for cells in (row, row.values())).encode("utf-8", "surrogateescape")
    lines = json.dumps(ROW | {"name": "SKU 1", "steps": "many"}) + "\n"
    for name, content in (("jobs.csv", text), ("jobs.jsonl", lines)):
        (fault,) = read_jobs(write(tmp_path / name, content)).faults
        assert (fault.shown, fault.name) == ("a.png", "SKU 1")


def test_masks_for_all_rows_start_from_where_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "jobs" / "jobs.jsonl", json.dumps(ROW))
    (job,) = read_jobs(path, Defaults(settings=EditSettings(include_mask=Path("mask.png")))).jobs
    assert job.settings.include_mask == tmp_path / "mask.png"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "JSON object in the line"),
        ("[" * 100_000, "JSON object in the line"),
        ("3", "got int"),
        ('{"photo": 3}', "photo's path, got 3"),
        (json.dumps(ROW | {"captoin": "x"}), "got 'captoin'"),
        (json.dumps(ROW | {"model": "x"}), "--model"),
        (json.dumps(ROW | {"steps": "7"}), "steps as a whole number"),
        (json.dumps(ROW | {"caption": 3}), "caption as text, got int"),
        (json.dumps(ROW | {"include_mask": 3}), "picture's path"),
        (json.dumps(ROW | {"blend_words": "rose"}), "list of words"),
        (json.dumps(ROW | {"photo": "b.png"}) + json.dumps(ROW), "JSON object in the line"),
        (json.dumps(ROW | {"region": [math.inf, 0, 1, 2]}), "left top right bottom"),
        (json.dumps(ROW | {"emphasis": 10**400}), "emphasis as a number"),
        (json.dumps(ROW | {"steps": 10**400}), "steps as a whole number"),
        (json.dumps(ROW | {"caption": "a \ud83c rose"}), r"got 'a \ud83c rose'"),
        (json.dumps(ROW | {"name": "\ud83c"}), "name of whole characters"),
    ],
)
def test_a_bad_line_of_json_is_told_and_keeps_none_back(tmp_path: Path, line: str, sentence: str) -> None:
    jobs = read_jobs(write(tmp_path / "jobs.jsonl", f"{json.dumps(ROW)}\n{line}\n{json.dumps(ROW | {'photo': 'c'})}\n"))
    assert sentence in reasons(jobs)[2]
    assert [job.row for job in jobs.jobs] == [1, 3]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("jobs.csv", "", "names of the columns"),
        ("jobs.csv", "photo,caption\n", "at least one job"),
        ("jobs.csv", "photo,captoin\na,b\n", "got 'captoin'"),
        ("jobs.csv", "photo,photo\na,b\n", "'photo' more than once"),
        ("jobs.csv", "photo,caption,,steps,,\na,b\n", "got none for column 3"),
        ("jobs.csv", "photo,device\na,b\n", "--device"),
        ("jobs.csv", 'photo,caption\n"a.png,b\nc.png,d\n', "quotation mark"),
        ("jobs.csv", "photo,caption\n".encode("utf-16"), "UTF-16"),
        ("jobs.xlsx", "PK", ".csv"),
        ("jobs.jsonl", "\n", "at least one job"),
    ],
)
def test_a_file_that_is_no_list_of_rows_is_refused(
    tmp_path: Path, name: str, content: str | bytes, sentence: str
) -> None:
    with pytest.raises(EditRealError, match=sentence):
        read_jobs(write(tmp_path / name, content))
    with pytest.raises(EditRealError, match="found nothing"):
        read_jobs(tmp_path / "missing.csv")


def test_a_cell_too_many_is_told(tmp_path: Path) -> None:
    jobs = read_jobs(write(tmp_path / "jobs.csv", "photo,caption,new_caption\na.png,red, green,blue\nb.png,c,d\n"))
    assert "expected 3 cells, got 4" in reasons(jobs)[2] and len(jobs.jobs) == 1


def test_columns_are_named_in_any_case(tmp_path: Path) -> None:
    (job,) = read_jobs(write(tmp_path / "jobs.csv", "Photo,Caption,NEW_CAPTION\na.png,a red rose,a white rose\n")).jobs
    assert (job.shown, job.caption, job.new_caption) == ("a.png", "a red rose", "a white rose")
