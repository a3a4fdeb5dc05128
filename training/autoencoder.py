"""Train the autoencoder (diffusers' AutoencoderKL, factor 4) on the prepared photos.

    python -m training.autoencoder --prepared work/prepared.safetensors --folder work/autoencoder --minutes 20

With `--decoder-only` the encoder stays as it is, so that latents already computed, and a denoiser trained on
them, remain valid while the decoder goes on improving.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from diffusers import AutoencoderKL

from benchmarks.command import run_command
from training.carry_over import carry_over
from training.prepare import load_prepared
from training.run import Run, autocast, average_of, pick_device

SCALES = (1.0, 1.2, 1.45)  # a crop of the working size is cut from the photo at one of these scales


LATENT_CHANNELS = 6  # four hold 24 dB of these photos at 64x64, whatever the training; six hold 26


def build_autoencoder(size: int) -> AutoencoderKL:
    """Three levels (factor 4); no attention, so that it serves any size alike."""
    return AutoencoderKL(
        sample_size=size,
        latent_channels=LATENT_CHANNELS,
        block_out_channels=(32, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=16,
        mid_block_add_attention=False,
    )


def resize(images: torch.Tensor, side: int) -> torch.Tensor:
    """uint8 `(N, H, W, 3)` to uint8 `(N, 3, side, side)`, antialiased, in chunks."""
    chunks = images.split(256)
    shrink = lambda x: F.interpolate(x.permute(0, 3, 1, 2).float(), (side, side), mode="bicubic", antialias=True)  # noqa: E731
    return torch.cat([shrink(chunk).round().clamp(0, 255).byte() for chunk in chunks])


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """uint8 to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1.0


def random_crops(pyramid: list[torch.Tensor], batch_size: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """A batch of random crops, half of them mirrored, `(batch_size, 3, size, size)` in [-1, 1]."""
    crops = []
    for _ in range(batch_size):
        level = pyramid[int(torch.randint(len(pyramid), (), generator=generator))]
        index, y, x, flip = (
            int(torch.randint(high, (), generator=generator))
            for high in (len(level), level.shape[2] - size + 1, level.shape[3] - size + 1, 2)
        )
        crop = level[index, :, y : y + size, x : x + size]
        crops.append(crop.flip(-1) if flip else crop)
    return to_pixels(torch.stack(crops))


def reconstruction_loss(pixels: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared and absolute error, plus the absolute error of the gradients at three scales (sharp edges)."""
    loss = F.mse_loss(pixels, target) + 0.1 * F.l1_loss(pixels, target)
    for _ in range(3):
        for dim in (-1, -2):
            loss = loss + 0.03 * F.l1_loss(pixels.diff(dim=dim), target.diff(dim=dim))
        pixels, target = F.avg_pool2d(pixels, 2), F.avg_pool2d(target, 2)
    return loss


@torch.no_grad()
def mean_psnr(autoencoder: AutoencoderKL, pixels: torch.Tensor) -> float:
    """Mean over photos of the PSNR in dB of encode (posterior mean) and decode, `(N, 3, H, W)` in [-1, 1]."""
    scores = []
    for chunk in pixels.split(64):
        decoded = autoencoder.decode(autoencoder.encode(chunk).latent_dist.mean).sample.clamp(-1, 1)
        scores.append(-10 * ((decoded - chunk) / 2).square().mean((1, 2, 3)).log10())
    return float(torch.cat(scores).mean())


def main(
    prepared: Annotated[Path, typer.Option(help="the file that training.prepare wrote")],
    folder: Annotated[Path, typer.Option(help="where checkpoint, log and weights go")],
    minutes: Annotated[float, typer.Option(help="time to train, counting resumed runs")] = 20,
    size: Annotated[int, typer.Option(help="side of the crops in pixels")] = 64,
    batch_size: int = 16,
    learning_rate: float = 1.5e-3,
    start_from: Annotated[
        Path | None, typer.Option(help="weights to start from, of as many latent channels or fewer")
    ] = None,
    decoder_only: Annotated[bool, typer.Option(help="leave the encoder as it is")] = False,
) -> None:
    """Train the autoencoder."""
    device = pick_device()
    torch.manual_seed(0)
    images, _, _ = load_prepared(prepared, "train")
    pyramid = [resize(torch.from_numpy(images), int(size * scale)) for scale in SCALES]
    test_images, _, _ = load_prepared(prepared, "test")
    test_pixels = to_pixels(resize(torch.from_numpy(test_images), size)).to(device)
    model = build_autoencoder(size)
    if start_from:
        source = AutoencoderKL.from_pretrained(start_from)
        if decoder_only and source.config.latent_channels != LATENT_CHANNELS:
            raise typer.BadParameter(f"expected {LATENT_CHANNELS} latent channels for --decoder-only, got {start_from}")
        carry_over(source, model)
        model.register_to_config(scaling_factor=source.config.scaling_factor)
    model.to(device, memory_format=torch.channels_last)
    if decoder_only:
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    average = average_of(model, 0.998)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=1e-3, fused=True)
    run = Run(folder, minutes, {"model": model, "average": average, "optimizer": optimizer})
    encode, decode = model.encode, model.decode
    if device.type == "cuda":
        encode, decode = torch.compile(encode), torch.compile(decode)
    generator = torch.Generator().manual_seed(run.steps)

    def step(progress: float) -> dict[str, float]:
        optimizer.param_groups[0]["lr"] = learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        target = random_crops(pyramid, batch_size, size, generator).to(device, memory_format=torch.channels_last)
        with autocast(device, enabled=device.type == "cuda"):  # on a CPU these convolutions gain nothing from it
            posterior = encode(target).latent_dist
            latents = posterior.mean if decoder_only else posterior.sample()
            decoded = decode(latents).sample
        kl = posterior.kl().mean() / latents[0].numel()
        loss = reconstruction_loss(decoded.float(), target) + (0.0 if decoder_only else 1e-4 * kl)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        average.update_parameters(model)
        return {"loss": float(loss.detach()), "kl": float(kl.detach())}

    for number in run.loop(batch_size, step):
        if number % 1000 == 0:
            print(f"step {number}: test PSNR {mean_psnr(average.module, test_pixels[:128]):.2f} dB", flush=True)
    result = average.module
    if not decoder_only:
        result.register_to_config(scaling_factor=scaling_factor(result, pyramid[0], device))
    result.save_pretrained(folder / "weights")
    summary = {
        "psnr_test": mean_psnr(result, test_pixels),
        "steps": run.steps,
        "minutes": run.elapsed / 60,
        "learning_rate": learning_rate,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    print(summary)


@torch.no_grad()
def scaling_factor(autoencoder: AutoencoderKL, images: torch.Tensor, device: torch.device) -> float:
    """One over the standard deviation of the latents of a sample of photos, as Stable Diffusion defines it."""
    sample = to_pixels(images[np.random.default_rng(0).permutation(len(images))[:512]])
    latents = [autoencoder.encode(chunk.to(device)).latent_dist.mean for chunk in sample.split(64)]
    return float(1 / torch.cat(latents).std())


if __name__ == "__main__":
    run_command(main)
