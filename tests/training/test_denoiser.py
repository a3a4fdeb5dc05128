"""Captions become tokens with what each should look at; a run starts from another version's weights and goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from training.denoiser import SHARE, Captions, LatentPhotos, main, start
from training.tokenizer import MAX_LENGTH, build_tokenizer

ROWS = [
    {"kind": "pet", "thing": "cat", "things": "cats", "names": [("bengal", "bengals")], "color": "black"},
    {"kind": "clothes", "thing": "shirt", "things": "shirts", "names": [], "color": "red"},
]


@pytest.fixture
def latents(tmp_path: Path) -> Path:
    """Two photos of each split, as one file of `training.latents`."""
    tensors, metadata = {}, {}
    for split in ("train", "test"):
        tensors[f"{split}.latents"] = np.random.default_rng(0).normal(size=(4, 8, 16, 16)).astype(np.float16)
        tensors[f"{split}.masks"] = np.full((4, 16, 16), 255, np.uint8)
        views = [
            {"row": index % 2, "color": "blue", "dyed": True} if index > 1 else {"row": index} for index in range(4)
        ]
        rows = [{**row, "background": None, "has_object": True} for row in ROWS]
        metadata[split] = json.dumps({"rows": rows, "views": views})
    save_file(tensors, tmp_path / "latents.safetensors", metadata)
    return tmp_path / "latents.safetensors"


def test_tokens_share_what_their_role_takes(tmp_path: Path) -> None:
    tokenizer = build_tokenizer([{**row, "background": "green"} for row in ROWS], tmp_path, merges=30)
    words = [("a", "other"), ("black", "color"), ("bengal", "object"), ("cat", "object"), ("green", "background")]
    captions = Captions.of([(words, True), (words, False), ([], False)], tokenizer)
    object_and_color = SHARE["object"] + SHARE["color"]
    np.testing.assert_allclose(captions.inside.sum(1), [object_and_color, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(captions.outside.sum(1), [SHARE["background"], 0, 0], rtol=1e-5)
    length = len(tokenizer(" ".join(word for word, _ in words))["input_ids"])
    assert captions.counted.sum(1).tolist() == [MAX_LENGTH - 1, MAX_LENGTH - length + 1, 0]
    whole = tokenizer(" ".join(word for word, _ in words))["input_ids"]
    assert captions.input_ids[0, :length].tolist() == whole


def test_a_view_is_told_as_it_is_and_not_as_its_photo(latents: Path) -> None:
    photos = LatentPhotos([latents, latents], "train")
    assert len(photos.rows) == len(photos.latents) == 8
    assert [row["color"] for row in photos.rows[:4]] == ["black", "red", "blue", "blue"]
    said = {photos.rows[index]["kind"] for index in photos.draw(64, np.random.default_rng(0))}
    assert said == {"pet", "clothes"}


@pytest.mark.slow
def test_a_run_writes_what_another_starts_from(latents: Path, tmp_path: Path) -> None:
    main([latents], tmp_path / "first", minutes=0.05, batch_size=2)
    summary = json.loads((tmp_path / "first" / "summary.json").read_text())
    assert set(summary["test_losses"]) == {"pet", "clothes", "mean"}
    assert "shirt" in json.loads((tmp_path / "first" / "words.json").read_text())["clothes"]
    photos = LatentPhotos([latents], "train")
    models, _, fresh = start(photos, tmp_path / "second", tmp_path / "first", torch.device("cpu"))
    assert fresh == []
    first = torch.load(tmp_path / "first" / "checkpoint.pt", weights_only=True)["average"]
    for name, weight in models["unet"].state_dict().items():
        torch.testing.assert_close(weight, first[f"module.unet.{name}"])
