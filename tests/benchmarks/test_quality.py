import csv
import dataclasses
import io
import json
import math
import mmap
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import typer
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from backbones.geometry import Geometry, plan_geometry
from backbones.photo import open_photo
from benchmarks import quality
from benchmarks.edits import Edit
from benchmarks.judge import Judge, autoencoded, measure, petals
from benchmarks.kept import Done, Kept
from benchmarks.learned import Learned
from benchmarks.memory import RESET, peak_memory
from benchmarks.methods import METHODS, OURS, Outcome, method_of, run_method
from benchmarks.pictures import SIDE as PICTURE_SIDE
from benchmarks.pictures import page, thumbnail
from benchmarks.quality import Setup, choose_methods, every, group, main, run
from benchmarks.report import IDENTICAL, behind, mean, report, table
from benchmarks.widen import stands_free, widen
from editing.editor import Editor
from studio.batch.ledger import Ledger
from studio.batch.store import FolderStore
from training.classifier import LABELS, Classifier

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

SIDE = 40


@pytest.fixture(scope="module", autouse=True)
def tiny(model_folder: Path) -> Path:
    """One prediction type will do for all."""
    return model_folder


def make_edit(source: str = "a", **changes: Any) -> Edit:
    """A red square, whose upper half is to turn green."""
    photo = np.random.default_rng(0).integers(90, 110, (SIDE, SIDE, 3)).astype(np.uint8)
    photo[8:32, 8:32, 0] = 250
    region = np.zeros((SIDE, SIDE), bool)
    region[8:20, 8:32] = True
    fields: dict[str, Any] = {
        "name": f"{source}-0",
        "kind": "colour swap",
        "source": source,
        "photo": photo,
        "caption": "a photo of a red rose",
        "new_caption": "a photo of a green rose",
        "region": region,
        "reweight": {},
        "blend_words": None,
        "asked_color": "green",
        "asked_label": None,
    }
    return Edit(**{**fields, **changes})


def run_all(model_folder: Path, edits: list[Edit], *names: str) -> list[dict[str, Any]]:
    setup = Setup(str(model_folder), classifier=None, threads=None)
    return [row for done in run(edits, choose_methods(names, ()), setup, steps=2, jobs=1) for row in done.rows]


@pytest.fixture(scope="module")
def rows(tiny: Path) -> list[dict[str, Any]]:
    """Two edits by every method."""
    edits = [make_edit(), make_edit(name="a-1", new_caption="a photo of a red cat", asked_color=None)]
    return run_all(tiny, edits)


def test_every_method_measures_every_edit(rows: list[dict[str, Any]]) -> None:
    assert {(row["name"], row["method"]) for row in rows} == {(n, m) for n in ("a-0", "a-1") for m in METHODS}
    for row in rows:
        assert row["error"] == ""
        assert all(math.isfinite(row[key]) for key in ("before_psnr", "before_pie_ssim", "iou", "seconds"))
        assert math.isfinite(row["color"]) == (row["name"] == "a-0")
        assert np.asarray(Image.open(io.BytesIO(row["picture"]))).shape == (SIDE, SIDE, 3)


def test_before_is_measured_against_the_autoencoder_and_after_against_the_photo(tiny: Path, editor: Editor) -> None:
    edit = make_edit()
    (row,) = run_all(tiny, [edit], OURS)
    (outcome,) = run_method(METHODS[OURS], editor, open_photo(edit.photo), [edit], [], steps=2, inversions={})
    kept = ~edit.region
    expected = peak_signal_noise_ratio(edit.photo[kept], outcome.image[kept], data_range=255)
    assert row["after_psnr"] == pytest.approx(expected, abs=1e-3)
    ceiling = autoencoded(editor.backbone, open_photo(edit.photo), outcome.geometry)
    assert ceiling.shape == outcome.drawn.shape
    small = cv2.resize(edit.region.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA) > 0.5
    expected = peak_signal_noise_ratio(ceiling[~small], outcome.drawn[~small], data_range=255)
    assert row["before_psnr"] == pytest.approx(expected, abs=1e-3)


def test_a_closer_look_is_measured_in_the_part_that_was_seen() -> None:
    edit = make_edit()
    box = Geometry((SIDE, SIDE), (4, 8, SIDE - 4, SIDE), (32, 32))
    drawn = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    outcome = Outcome(edit.photo, edit.region, drawn, box, seconds=1.0, memory=1.0)
    figures = measure(edit, outcome, np.zeros_like(drawn), Judge(None, Learned({}, {})))
    part = edit.region[8:, 4 : SIDE - 4].astype(np.float32)
    kept = cv2.resize(part, (32, 32), interpolation=cv2.INTER_AREA) <= 0.5
    assert 0 < kept.mean() < 1
    assert figures["before_psnr"] == pytest.approx(
        peak_signal_noise_ratio(np.zeros_like(drawn)[kept], drawn[kept], data_range=255), abs=1e-3
    )


def test_a_border_that_is_left_open_is_in_no_overlap_but_the_second() -> None:
    region = make_edit().region
    border = region & ~cv2.erode(region.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    mask, frame = region & ~border, Geometry((SIDE, SIDE), (0, 0, SIDE, SIDE), (32, 32))
    drawn = np.zeros((32, 32, 3), np.uint8)
    outcome = Outcome(make_edit().photo, mask, drawn, frame, seconds=1.0, memory=1.0)
    open_border, closed = (
        measure(make_edit(border=one), outcome, drawn, Judge(None, Learned({}, {}))) for one in (border, None)
    )
    share = mask.sum() / region.sum()
    assert (open_border["iou"], open_border["iou_border"]) == (1, pytest.approx(share))
    assert closed["iou"] == pytest.approx(share) and math.isnan(closed["iou_border"])


@pytest.mark.parametrize("factor", [1.0, 2.0, 3.0])
def test_a_widened_photo_has_the_thing_once_and_small(factor: float) -> None:
    edit = make_edit()
    region = np.zeros((SIDE, SIDE), bool)
    region[SIDE // 4 : SIDE // 2, SIDE // 4 : SIDE // 2] = True
    photo = np.where(region[..., None], [255, 0, 0], [0, 200, 0]).astype(np.uint8)
    edit = dataclasses.replace(edit, photo=photo, region=region, border=region)
    wide = widen(edit, factor)
    assert stands_free(edit) and wide.photo.shape[0] == pytest.approx(factor * SIDE, abs=1)
    assert wide.region.shape == wide.photo.shape[:2]
    assert wide.region.mean() == pytest.approx(region.mean() / factor**2, rel=0.1)
    assert np.array_equal(wide.photo[wide.region], photo[region])
    assert wide.border is not None and np.array_equal(wide.border, wide.region)
    assert (wide.photo[~wide.region][:, 0] < 128).all()
    assert not stands_free(dataclasses.replace(edit, region=~region))


def test_inpainting_stays_in_the_mask_it_is_given(editor: Editor) -> None:
    edit, mask = make_edit(), np.zeros((SIDE, SIDE), bool)
    mask[:10] = True
    photo = open_photo(edit.photo)
    for name, allowed in (("blended inpainting, our mask", mask), ("blended inpainting, true mask", edit.region)):
        (outcome,) = run_method(METHODS[name], editor, photo, [edit], [mask], steps=2, inversions={})
        assert np.array_equal(outcome.image[~allowed], edit.photo[~allowed])
        assert not np.array_equal(outcome.image[allowed], edit.photo[allowed])


def test_the_published_rows_hold_the_published_settings(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = Editor.edit_many

    def spy(self: Editor, trajectory: Any, captions: Any, settings: Any, **options: Any) -> Any:
        seen.append((trajectory, settings[0]))
        return original(self, trajectory, captions, settings, **options)

    monkeypatch.setattr(Editor, "edit_many", spy)
    edit = make_edit(reweight={"rose": 0.5})
    for name in ("DDIM + P2P", "null-text + P2P, as published", "direct + P2P"):
        run_method(METHODS[name], editor, open_photo(edit.photo), [edit], [], steps=2, inversions={})
    (ddim, settings), (null_text, _), (direct, own) = seen
    assert ddim.guidance_scale == null_text.guidance_scale == 7.5
    assert dict(settings.reweight) == {"rose": 0.5} and settings.emphasis == 2
    assert not settings.exact and own.exact
    assert (settings.cross_replace, settings.self_replace, settings.control) == (0.4, 0.6, "refine")
    assert (settings.mask_rule, settings.refinement, settings.blend_start) == ("published", "plain", 0.2)
    assert not np.allclose(null_text.uncond.embeds, ddim.uncond.embeds)
    assert ddim.method == "direct" and null_text.method == "null_text" and direct.method == "direct"


def test_an_edit_that_fails_is_told_and_the_others_go_on(tiny: Path) -> None:
    edits = [make_edit(), make_edit(name="a-1", blend_words=("table",))]
    rows = run_all(tiny, edits, "blended inpainting, our mask", "blended inpainting, true mask")
    errors = {(row["name"], row["method"]): row["error"] for row in rows}
    assert "table" in errors["a-1", OURS] and "our edit" in errors["a-1", "blended inpainting, our mask"]
    assert not any(errors[name, "blended inpainting, true mask"] for name in ("a-0", "a-1"))
    assert not errors["a-0", OURS]
    text = report(rows, 2, {})
    assert "1 edits" in text and "Left out, since edit-real failed: a-1" in text


def test_a_row_that_always_fails_costs_no_other_its_report(tiny: Path) -> None:
    edits = [make_edit(), make_edit("b")]
    rows = run_all(tiny, edits, "direct + P2P")
    text = report(
        [*rows, *({**row, "method": "broken", "error": "no"} for row in rows if row["method"] == OURS)], 2, {}
    )
    assert "2 edits" in text and text.count("Left out, since broken failed") == 2
    assert "| broken |" not in text
    nothing = report([{**row, "error": "no"} for row in rows], 2, {})
    assert nothing.count("Left out") == 4 and "There is no edit" in nothing


@pytest.mark.slow
def test_processes_give_what_one_gives(tiny: Path) -> None:
    edits = [make_edit(), make_edit("b")]
    setup, methods = Setup(str(tiny), classifier=None, threads=1), choose_methods(["direct + P2P"], ())
    alone, together = (
        {
            (row["name"], row["method"]): row["before_psnr"]
            for done in run(edits, methods, setup, steps=2, jobs=jobs)
            for row in done.rows
        }
        for jobs in (1, 2)
    )
    assert alone.keys() == together.keys()
    assert list(alone.values()) == pytest.approx([together[key] for key in alone], rel=1e-3)


def test_the_classifier_says_whether_a_label_is_reached() -> None:
    classifier = Classifier().eval()
    edit = make_edit(asked_label="rose")
    geometry = plan_geometry((SIDE, SIDE), 32, 8)
    outcome = Outcome(edit.photo, edit.region, np.zeros((32, 32, 3), np.uint8), geometry, seconds=1.0, memory=1.0)
    ceiling, judge = np.zeros((32, 32, 3), np.uint8), Judge(classifier, Learned({}, {}))
    with torch.no_grad():
        classifier.head.bias[:] = 100.0 * (torch.arange(len(LABELS)) == LABELS.index("rose"))
    assert measure(edit, outcome, ceiling, judge)["label"] == 100.0
    assert measure(make_edit(asked_label="cat"), outcome, ceiling, judge)["label"] == 0.0
    assert math.isnan(measure(make_edit(), outcome, ceiling, judge)["label"])
    assert math.isnan(measure(edit, outcome, ceiling, Judge(None, Learned({}, {})))["label"])


def test_edits_that_share_photo_and_caption_share_an_inversion() -> None:
    edits = [make_edit("b"), make_edit("a"), make_edit("b", name="b-1"), make_edit("b", name="b-2", caption="a rose")]
    names = [[edit.name for edit in same] for same in group(edits)]
    assert sorted(names) == [["a-0"], ["b-0", "b-1"], ["b-2"]]
    assert [edit.source for edit in every(edits, 2)] == ["b", "b", "b"]


def test_petals_are_what_had_the_old_colour() -> None:
    edit = make_edit()
    assert np.array_equal(petals(edit), edit.region)
    assert not petals(make_edit(new_caption="a photo of a red cat")).any()
    assert not petals(make_edit(caption="a photo of a rose")).any()


def figures(method: str, **measures: float) -> dict[str, Any]:
    return {"method": method, "name": "a-0", "kind": "colour swap", "error": "", **measures}


def test_means_leave_out_what_is_not_there() -> None:
    rows = [figures(OURS, color=10.0), figures(OURS, color=math.nan), figures(OURS, color=30.0), figures(OURS)]
    assert mean(rows, "color") == 20.0
    identical = [figures(OURS, after_psnr=math.inf), figures(OURS, after_psnr=20.0)]
    assert mean(identical, "after_psnr") == (IDENTICAL + 20) / 2
    assert mean([figures(OURS, after_mse=0.002)], "after_mse") == pytest.approx(2.0)
    assert math.isnan(mean([], "color"))
    assert "colour" not in table([figures(OURS, iou=0.5)], {"iou": "mask IoU", "color": "colour"})


def test_where_another_row_is_ahead_is_said() -> None:
    rows = [figures(OURS, iou=0.5, color=90.0), figures("x", iou=0.6, color=80.0), figures("y", iou=0.7)]
    (line,) = behind(rows)
    assert (line["measure"], line[OURS], line["best"], line["of"]) == ("mask IoU", "0.50", "0.70", "y")
    assert behind([figures(OURS, iou=0.8), figures("x", iou=0.6), figures("y", iou=0.8001)]) == []
    for iou in ("iou", "iou_border"):
        assert behind([figures(OURS, **{iou: 0.8}), figures("blended inpainting, true mask", **{iou: 0.99})]) == []


def test_the_page_needs_nothing_else(rows: list[dict[str, Any]]) -> None:
    edits = [make_edit(), make_edit(name="a-1", new_caption="a photo of a red <cat>")]
    text = page(report(rows, 2, {"CLIP score": "no weights"}), rows, edits)
    assert text.count("<img ") == len(edits) * (1 + len(METHODS))
    assert "http" not in text.replace("Content-Security-Policy", "").replace("http-equiv", "")
    assert "<table>" in text and "sheet.png" not in text and "&lt;cat&gt;" in text and "no weights" in text


def test_pictures_of_the_page_are_small() -> None:
    large = Image.open(io.BytesIO(thumbnail(np.zeros((2 * PICTURE_SIDE, 100, 3), np.uint8))))
    assert large.size == (50, PICTURE_SIDE)


@pytest.mark.skipif(not os.access(RESET, os.W_OK), reason="this system does not tell a process's peak")
def test_peak_memory_sees_a_large_array() -> None:
    with peak_memory(torch.device("cpu")) as small:
        pass
    with peak_memory(torch.device("cpu")) as large:
        mmap.mmap(-1, 64 * 2**20).write(bytes(64 * 2**20))
    assert large.mib > small.mib + 50


def test_peak_memory_is_nan_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("benchmarks.memory.RESET", tmp_path / "missing" / "clear_refs")
    with peak_memory(torch.device("cpu")) as peak:
        pass
    assert math.isnan(peak.mib)


def write_pie_bench(folder: Path) -> Path:
    """One photo whose mask is its upper half."""
    pictures = folder / "annotation_images" / "1_change_object"
    pictures.mkdir(parents=True)
    Image.fromarray(make_edit().photo).save(pictures / "000000000000.png")
    entry = {
        "image_path": "1_change_object/000000000000.png",
        "original_prompt": "a photo of a [red] rose",
        "editing_prompt": "a photo of a [green] rose",
        "editing_instruction": "",
        "editing_type_id": "1",
        "blended_word": "rose rose",
        "mask": [0, SIDE * SIDE // 2],
    }
    (folder / "mapping_file.json").write_text(json.dumps({"000000000000": entry}))
    return folder


def test_the_command_writes_everything_for_a_folder_of_pie_bench(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = write_pie_bench(tmp_path / "pie")
    main(out=out, pie_bench=folder, model=str(tiny), method=["direct + P2P"], steps=2, jobs=1)
    written = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert written == {"quality.csv", "quality.md", "index.html", "sheet.png", "first.png", "results.jsonl"}
    with (out / "quality.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == [OURS, "direct + P2P"]
    assert all(float(row["before_psnr"]) > 0 for row in rows)
    assert "change object" in (out / "quality.md").read_text()


def test_what_was_measured_is_not_measured_again(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, folder, seen = tmp_path / "out", write_pie_bench(tmp_path / "pie"), list[str]()
    real = quality.run_group

    def spy(edits: list[Edit], **options: Any) -> Any:
        seen.extend(edit.name for edit in edits)
        return real(edits, **options)

    monkeypatch.setattr(quality, "run_group", spy)
    options: dict[str, Any] = {"pie_bench": folder, "model": str(tiny), "method": ["direct + P2P"], "jobs": 1}
    main(out=out, steps=2, **options)
    first = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix}
    main(out=out, steps=2, **options)
    assert seen == ["000000000000"]
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.suffix} == first
    main(out=out, steps=1, **options)
    assert len(seen) == 2


def test_failed_edits_are_measured_again_when_asked(tmp_path: Path) -> None:
    store, edits, methods = FolderStore(tmp_path), [make_edit()], choose_methods(["direct + P2P"], ())
    kept = Kept(Ledger(store), "code")
    key = kept.key(edits, methods, 2)
    done = Done([{"name": "a-0", "error": "no"}, {"name": "a-0", "error": "", "iou": math.nan, "picture": b"jpeg"}], {})
    assert kept.find(key) is None
    kept.keep(key, done)
    again = Kept(Ledger(store), "code").find(key)
    assert again and again.rows[1]["picture"] == b"jpeg" and math.isnan(again.rows[1]["iou"])
    assert Kept(Ledger(store), "code", retry_failed=True).find(key) is None
    region = edits[0].region
    others = [[make_edit(region=~region)], [make_edit(border=region)], [make_edit(new_caption="a cat")]]
    others += [[make_edit(reweight={"rose": 2.0})]]
    keys = {key, Kept(Ledger(store), "other code").key(edits, methods, 2), kept.key(edits, methods, 3)}
    keys |= {kept.key(edits, choose_methods([], ["steps=5"]), 2)}
    assert len(keys | {kept.key(other, methods, 2) for other in others}) == 8


def test_settings_make_a_row() -> None:
    method = method_of("guidance_scale=3 self_replace=0.2 mask_rule=midrange cross_replace=(0.1,0.5)")
    assert method.inversion == {"guidance_scale": 3}
    assert method.edit == {"self_replace": 0.2, "mask_rule": "midrange", "cross_replace": (0.1, 0.5)}
    assert list(choose_methods(["direct + P2P"], ["steps=5"])) == [OURS, "direct + P2P", "steps=5"]
    for wrong in ("mask_rule=magic", "reweight={'red':2}", "emphasis=much"):
        with pytest.raises(typer.BadParameter, match=wrong.partition("=")[0]):
            choose_methods([], [wrong])


def test_the_command_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="direct"):
        main(out=tmp_path, pie_bench=tmp_path, method=["magic"])
    with pytest.raises(typer.BadParameter, match="--photos"):
        main(out=tmp_path)
    with pytest.raises(typer.BadParameter, match="poem"):
        main(out=tmp_path, pie_bench=write_pie_bench(tmp_path / "pie"), kind=["poem"])
