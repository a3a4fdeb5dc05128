"""The exported folder loads as a backbone and predicts what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from backbones.loading import load_backbone
from training import export
from training.captions import known_words, words_by_kind
from training.denoiser import build_scheduler, build_text_encoder
from training.tokenizer import build_tokenizer


def test_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MAX_SHARD", "200KB")
    torch.manual_seed(0)
    rows = [{"kind": "flower", "thing": "rose", "things": "roses", "names": [], "color": "red", "background": None}]
    tokenizer = build_tokenizer(rows, tmp_path / "denoiser" / "tokenizer")
    (tmp_path / "denoiser" / "words.json").write_text(json.dumps(words_by_kind(rows)))
    text_encoder = build_text_encoder(tokenizer)
    text_encoder.save_pretrained(tmp_path / "denoiser" / "text_encoder")
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=2,
        norm_num_groups=4,
    ).eval()
    unet.save_pretrained(tmp_path / "denoiser" / "unet")
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, scaling_factor=0.5, **blocks).save_pretrained(
        tmp_path / "autoencoder"
    )
    export.main(tmp_path / "autoencoder", tmp_path / "denoiser", tmp_path / "model")
    backbone = load_backbone(tmp_path / "model", device="cpu")
    assert backbone.known_words == set(known_words(words_by_kind(rows)))
    words = json.loads((tmp_path / "model" / "edit_real.json").read_text())["words"]
    assert words["flowers"] == ["rose", "roses"]
    assert "red" in words["colours"]
    assert backbone.vae.config.scaling_factor == 0.5
    torch.testing.assert_close(backbone.levels.signal.float() ** 2, build_scheduler().alphas_cumprod)
    latents, condition = torch.randn(1, 4, 8, 8), backbone.condition(["a red rose"])
    expected = unet(latents, torch.tensor([5]), condition.embeds).sample
    torch.testing.assert_close(backbone.predict(latents, 5, condition).noise, expected, atol=2e-2, rtol=2e-2)
