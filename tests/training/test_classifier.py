"""The classifier learns, is saved and loaded, and does not see colours that were turned away."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from training.classifier import (
    HUE_TURN,
    LABELS,
    SIZE,
    Classifier,
    accuracy,
    augment,
    classify,
    confusion,
    load_classifier,
    main,
    turn_hue,
)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A photo of each label and split: bars whose number tells the label."""
    rows = [{"thing": label, "kind": "clothes", "has_object": False} for label in LABELS]
    phases = np.arange(144) / 144 * 2 * np.pi
    bars = np.stack([(np.sin(phases * number) > 0) * 200 + 20 for number in range(1, len(LABELS) + 1)])
    images = np.ascontiguousarray(np.broadcast_to(bars[:, None, :, None], (len(LABELS), 144, 144, 3)).astype(np.uint8))
    tensors = {f"{split}.images": images for split in ("train", "test")}
    tensors |= {f"{split}.objects": np.zeros((len(LABELS), 144, 18), np.uint8) for split in ("train", "test")}
    path = tmp_path / "prepared.safetensors"
    save_file(tensors, path, {split: json.dumps(rows) for split in ("train", "test")})
    return path


def test_training_writes_what_loading_reads(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "classifier"
    main(prepared, folder, minutes=0.03, batch_size=16)
    assert "test photos" in capsys.readouterr().out
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["steps"] > 0
    assert summary["accuracy_by_kind"] == {"clothes": summary["accuracy_test"]}
    model = load_classifier(folder)
    assert not model.training
    named = classify(model, np.zeros((3, 80, 80, 3), np.uint8))
    assert len(named) == 3
    assert set(named) <= set(LABELS)


def test_a_batch_is_judged_as_its_images_are() -> None:
    torch.manual_seed(0)
    model = Classifier((8, 8, 8)).eval()
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    assert classify(model, images) == [classify(model, images[i : i + 1])[0] for i in range(5)]


@pytest.mark.parametrize("kind", sorted(HUE_TURN))
def test_a_crop_has_the_working_size(kind: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (144, 144, 3), dtype=np.uint8)
    for _ in range(20):
        crop = augment(image, kind, rng)
        assert crop.shape == (SIZE, SIZE, 3)
        assert crop.dtype == np.uint8


def test_turning_the_hue_leaves_greys_and_luma() -> None:
    luma, colors = np.array([0.299, 0.587, 0.114]), np.random.default_rng(0).random((50, 3))
    turned = colors @ turn_hue(40, 1.3).T
    np.testing.assert_allclose(turned @ luma, colors @ luma, atol=1e-3)
    np.testing.assert_allclose(np.full(3, 0.5) @ turn_hue(40, 1.3).T, np.full(3, 0.5), atol=2e-3)
    np.testing.assert_allclose(turn_hue(0, 1.0), np.eye(3), atol=1e-5)
    red = np.array([1.0, 0, 0]) @ turn_hue(0, 0.0).T
    np.testing.assert_allclose(red, np.full(3, 0.299), atol=2e-3)


def test_confusion_and_accuracy_count() -> None:
    table = confusion(["cat", "bengal", "cat"], ["cat", "cat", "dog"])
    assert table["cat"] == {**dict.fromkeys(LABELS, 0), "cat": 1, "dog": 1}
    assert table["bengal"]["cat"] == 1
    assert accuracy(["cat", "dog"], ["cat", "cat"]) == 0.5
