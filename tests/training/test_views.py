"""Views show what their rows say, at the asked size, and photos become latents with the thing's share of each cell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from tests.training.archives import write_archives
from training import autoencoder, latents, prepare
from training.colors import color_masks
from training.denoiser import LatentPhotos
from training.latents import tones_of
from training.prepare import load_prepared, load_rows
from training.views import PASTED_SHARE, Views


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    prepare.main(write_archives(folder), folder / "prepared.safetensors")
    return folder / "prepared.safetensors"


@pytest.fixture(scope="module")
def views(prepared: Path) -> Views:
    images, objects, rows = load_prepared(prepared, "train")
    return Views(images, objects, rows, tones_of(rows), 64)


def test_preparing_keeps_rows_masks_and_tones(prepared: Path) -> None:
    images, objects, rows = load_prepared(prepared, "test")
    assert rows == load_rows(prepared, "test")
    assert images.shape == (10, 192, 192, 3)
    assert [row["has_object"] for row in rows] == [bool(mask.any()) for mask in objects]
    tone = next(row["tone"] for row in rows if row["thing"] == "car" and row["color"] == "yellow")
    assert tone[0] > 70 and tone[2] > 50
    assert all(row["tone"] is None for row in rows if not row["has_object"] or not row["color"])


def test_a_view_shows_what_its_row_says(views: Views) -> None:
    rng, seen = np.random.default_rng(0), set()
    for index, row in enumerate(views.rows):
        for _ in range(24):
            image, mask, told = views.draw(index, rng)
            assert image.shape == (64, 64, 3)
            assert mask.shape == (64, 64)
            assert 0 <= mask.min() <= mask.max() <= 1 + 1e-5
            assert row["has_object"] == bool(mask.any())
            inside = mask > 0.95
            if told.get("dyed"):
                assert told["color"] != row["color"]
                assert color_masks(image)[told["color"]][inside].mean() > 0.6
            if told.get("pasted"):
                assert told["background"] is None
                assert PASTED_SHARE[0] * 0.5 < (mask > 0.5).mean() < PASTED_SHARE[1] * 1.2
            seen |= {(row["kind"], key) for key in ("dyed", "pasted") if told.get(key)}
    assert {("clothes", "dyed"), ("clothes", "pasted"), ("pet", "pasted"), ("car", "dyed")} <= seen


def test_a_whole_photo_can_be_mirrored(views: Views) -> None:
    image, mask, _ = views.whole(0)
    mirrored, other, row = views.whole(0, mirrored=True)
    assert row is views.rows[0]
    np.testing.assert_allclose(image.astype(int), mirrored[:, ::-1], atol=1)
    np.testing.assert_allclose(mask, other[:, ::-1], atol=1e-5)


def test_latents_are_read_back_by_kind(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    levels = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    model = AutoencoderKL(block_out_channels=(8, 8, 8), norm_num_groups=4, scaling_factor=0.5, **levels).eval()
    model.save_pretrained(tmp_path / "vae")
    latents.main(prepared, tmp_path / "vae", tmp_path / "whole.safetensors", None, 32)
    latents.main(prepared, tmp_path / "vae", tmp_path / "views.safetensors", 1, 32)
    photos = LatentPhotos([tmp_path / "whole.safetensors", tmp_path / "views.safetensors"], "train")
    assert photos.latents.shape[1:] == (4, 8, 8)
    assert photos.masks.shape[1:] == (8, 8)
    assert len(photos.rows) == len(photos.latents) > 10
    assert set(photos.by_kind) == {"flower", "pet", "clothes", "fruit", "car"}
    images, _, rows = load_prepared(prepared, "test")
    whole = LatentPhotos([tmp_path / "whole.safetensors"], "test")
    pixels = autoencoder.to_pixels(autoencoder.resize(torch.from_numpy(images[:1]), 32))
    with torch.no_grad():
        expected = model.encode(pixels).latent_dist.mean * 0.5
    torch.testing.assert_close(whole.latents[:1].float(), expected, atol=0.05, rtol=0.1)
    assert json.loads(json.dumps(rows[0]))["thing"] == whole.rows[0]["thing"]
