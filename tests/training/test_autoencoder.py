"""An autoencoder of factor 8 goes on from one of factor 4, trains, and is measured by kind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from diffusers import AutoencoderKL

from tests.training.archives import write_archives
from training import prepare
from training.autoencoder import build_autoencoder, main, random_crops, start, start_from_three_levels


def three_levels() -> AutoencoderKL:
    return AutoencoderKL(
        latent_channels=6,
        block_out_channels=(32, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=16,
        mid_block_add_attention=False,
    )


def test_the_finer_levels_are_copied_and_the_new_one_is_quiet() -> None:
    torch.manual_seed(0)
    source, model = three_levels(), build_autoencoder(128)
    start_from_three_levels(source, model)
    assert torch.equal(model.encoder.conv_in.weight, source.encoder.conv_in.weight)
    assert torch.equal(model.decoder.conv_out.weight, source.decoder.conv_out.weight)
    old, new = source.decoder.up_blocks[1].resnets[0].conv2.weight, model.decoder.up_blocks[2].resnets[0].conv2.weight
    assert torch.equal(new, old)
    assert not model.decoder.up_blocks[0].resnets[0].conv2.weight.any()
    posterior = model.encode(torch.rand(1, 3, 64, 64)).latent_dist
    assert posterior.mean.shape == (1, 16, 8, 8)
    torch.testing.assert_close(posterior.logvar, torch.full_like(posterior.logvar, -4.0))
    assert posterior.mean.std() > 0.01


def test_other_networks_are_refused(tmp_path: Path) -> None:
    other = build_autoencoder(128, channels=12)
    other.save_pretrained(tmp_path)
    with pytest.raises(typer.BadParameter, match="conv_in"):
        start(128, tmp_path)


def test_crops_are_parts_of_the_photos() -> None:
    images = np.tile(np.arange(192, dtype=np.uint8)[None, None, :, None], (2, 192, 1, 3))
    crops = random_crops(images, 8, 32, 128, np.random.default_rng(0))
    assert crops.shape == (8, 3, 32, 32)
    steps = crops.diff(dim=-1)[..., 1:-1].abs() * 127.5  # a pixel of a crop is 1 to 1.5 of the photo's
    assert float(steps.min()) > 0.9 and float(steps.max()) < 2.1


@pytest.mark.slow
def test_it_trains_and_goes_on_with_its_decoder_alone(tmp_path: Path) -> None:
    prepared = tmp_path / "prepared.safetensors"
    prepare.main(write_archives(tmp_path), prepared)
    main(prepared, tmp_path / "first", minutes=0.05, batch_size=2)
    summary = json.loads((tmp_path / "first" / "summary.json").read_text())
    assert set(summary["psnr_test"]) == {"flower", "pet", "clothes", "fruit", "car", "mean"}
    main(
        prepared,
        tmp_path / "second",
        minutes=0.05,
        batch_size=2,
        start_from=tmp_path / "first/weights",
        decoder_only=True,
    )
    first, second = (AutoencoderKL.from_pretrained(tmp_path / name / "weights") for name in ("first", "second"))
    assert first.config.scaling_factor == second.config.scaling_factor
    assert torch.equal(first.encoder.conv_in.weight, second.encoder.conv_in.weight)
    assert not torch.equal(first.decoder.conv_in.weight, second.decoder.conv_in.weight)
