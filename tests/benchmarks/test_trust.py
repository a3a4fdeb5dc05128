"""The benchmark of trust: what counts as failed, what is fitted, and what is written."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from benchmarks import trust
from benchmarks.trust import SIGNS, failures, fit, least_cut, main, read_rows, rounded, table, told_apart
from benchmarks.truths import photo_of
from editing.trust import OF_THE_PLACE, TrustModel

NAN = float("nan")
CAME_OUT = {"petals": 80.0, "color": 60.0, "label": NAN, "after_psnr": 30.0, "iou": 0.9}


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({}, []),
        ({"petals": 49.0}, ["colour"]),
        ({"petals": NAN, "color": 49.0}, ["colour"]),
        ({"petals": 51.0, "color": 10.0}, []),
        ({"petals": NAN, "color": NAN}, []),
        ({"label": 0.0}, ["thing"]),
        ({"label": 100.0}, []),
        ({"after_psnr": 19.9, "iou": 0.49}, ["background", "mask"]),
        ({"after_psnr": "inf"}, []),
        ({"after_psnr": NAN}, []),
    ],
)
def test_what_counts_as_failed(changed: dict[str, Any], failed: list[str]) -> None:
    assert failures({**CAME_OUT, **changed}) == failed


def write_rows(path: Path, number: int, seed: int) -> Path:
    """Edits of which those failed that their model does not see, with noise in all other signs."""
    random, of_the_place = np.random.default_rng(seed), np.random.default_rng(seed + 100)
    rows = []
    for index in range(number):
        good = bool(random.uniform() < 0.7)
        signs = {name: float((of_the_place if name in OF_THE_PLACE else random).normal()) for name in SIGNS}
        signs |= {"thing_seen": float(random.normal(3 if good else -3)), "mask_share": 20.0, "asked_color": NAN}
        signs |= {"change_inside": 9.0, "beyond_map": 0.0}
        row = {"method": "edit-real", "name": f"photo{index // 2}-{index % 2}", "kind": "swap", "error": ""}
        figures = CAME_OUT | ({} if good else {"petals": 10.0})
        rows.append({**row, **figures, **{f"sign_{name}": value for name, value in signs.items()}})
    rows.append({**rows[0], "method": "emphasis=1"})
    rows.append({**rows[0], "error": "it could not be made", "iou": ""})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_rows_that_failed_to_be_made_say_nothing(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "quality.csv", 10, 0)
    assert len(read_rows(path, ours=True).rows) == 10
    everyone = read_rows(path, ours=False)
    assert len(everyone.rows) == len(everyone.signs) == len(everyone.failed) == 11
    assert {"thing_seen", "mask_share"} <= everyone.signs[0].keys()
    (tmp_path / "old.csv").write_text("method,name,error\nedit-real,a,\n")
    (tmp_path / "older signs.csv").write_text("method,name,error,sign_mask_share\nedit-real,a,,20\n")
    for damaged in ("old.csv", "older signs.csv", "missing.csv"):
        with pytest.raises(EditRealError, match=damaged):
            read_rows(tmp_path / damaged, ours=True)


def test_what_tells_failed_from_good_is_found(tmp_path: Path) -> None:
    train = read_rows(write_rows(tmp_path / "train.csv", 80, 0), ours=False)
    test = read_rows(write_rows(tmp_path / "test.csv", 60, 1), ours=True)
    model = fit(train)
    weights = {name: abs(weight) for name, weight in model.weights.items()}
    assert max(weights, key=lambda name: weights[name]) == "thing_seen" and model.weights["thing_seen"] > 0
    assert model.weights["asked_color"] == 0, "what applies to no edit says nothing"
    found = table(test, model, "test")
    assert found["number"] == 60 and 0 < found["failed"] < 60  # type: ignore[operator]
    assert found["warned of, of the failed (%)"] > 85 and found["warned of, of the good (%)"] < 15  # type: ignore[operator]
    assert found["told apart (AUC)"] > 0.95  # type: ignore[operator]


def test_cuts_and_ranks() -> None:
    good = np.array([False, False, True, True])
    assert least_cut(np.array([0.1, 0.3, 0.6, 0.9]), good) == pytest.approx(0.45)
    assert least_cut(np.array([0.1, 0.3, 0.6, 0.9]), good, share=0.5) == pytest.approx(0.2)
    assert least_cut(np.array([0.1, 0.9, 0.6, 0.8]), good) == 1
    assert least_cut(np.array([0.1, 0.9]), np.array([True, True])) == 0.5
    assert told_apart(np.array([0.1, 0.3, 0.6, 0.9]), good) == 1
    assert told_apart(np.array([0.6, 0.5, 0.6, 0.1]), good) == (0.5 + 1 + 0 + 0) / 4
    assert photo_of("12_ab-c-3") == "12_ab-c"
    assert rounded({"a": {"b": 1 / 3}}) == {"a": {"b": 0.33333}}


def test_it_writes_tables_a_picture_and_the_models_numbers(tmp_path: Path) -> None:
    train, test = write_rows(tmp_path / "train.csv", 60, 0), write_rows(tmp_path / "test.csv", 40, 1)
    model, out = tmp_path / "model", tmp_path / "out"
    with pytest.raises(EditRealError, match="expected the folder of a model"):
        main(test, out, train, model)
    model.mkdir()
    (model / "edit_real.json").write_text('{"guidance_scale": 10.0}')
    main(test, out, train, model)
    written = json.loads((model / "edit_real.json").read_text())
    assert written["guidance_scale"] == 10.0
    assert TrustModel.from_json(written["trust"]) == TrustModel.from_json(json.loads((out / "trust.json").read_text()))
    assert "| swap | 40 |" in (out / "trust.md").read_text()
    assert np.asarray(Image.open(out / "trust.png").convert("L")).std() > 10
    assert tuple(written["trust"]["weights"]) == trust.SIGNS


def test_without_edits_of_train_photos_the_models_own_trust_is_checked(tmp_path: Path, bundled: Backbone) -> None:
    test, out = write_rows(tmp_path / "test.csv", 40, 1), tmp_path / "out"
    with pytest.raises(EditRealError, match="expected --train with --write"):
        main(test, out, write=tmp_path)
    main(test, out)
    assert TrustModel.from_json(json.loads((out / "trust.json").read_text())) == TrustModel.of(bundled)
    assert "| swap | 40 |" in (out / "trust.md").read_text() and "fitted to" not in (out / "trust.md").read_text()
