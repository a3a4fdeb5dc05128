r"""Train the autoencoder (diffusers' AutoencoderKL, factor 8) on the prepared photos.

    python -m training.autoencoder --prepared work/prepared.safetensors --folder work/autoencoder --minutes 40

With `--decoder-only` the encoder stays as it is, so that latents already computed, and a denoiser trained on
them, remain valid while the decoder goes on improving.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import typer
from diffusers import AutoencoderKL

from training.carry_over import carry_over
from training.prepare import load_prepared
from training.run import Run, autocast, average_gradients, average_of, join_processes, norms_in_float32, pick_device
from workshop.command import run_command

WHOLE = 0.5  # share of crops cut from a photo shrunk to the working size, as an edit sees it; others are cut larger
QUIET = -4.0  # log variance of fresh latents: with more noise, little is learnt at first


def build_autoencoder(size: int, channels: int = 16) -> AutoencoderKL:
    """Four levels (factor 8); no attention, so that it serves any size alike."""
    return AutoencoderKL(
        sample_size=size,
        latent_channels=channels,
        block_out_channels=(32, 64, 96, 192),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=16,
        mid_block_add_attention=False,
    )


@torch.no_grad()
def start_from_three_levels(source: AutoencoderKL, model: AutoencoderKL) -> None:
    """Copy an autoencoder of factor 4 into the finer levels of one of factor 8.

    The new level starts as a nearly linear code: its residual branches add nothing at first, and the layers on both
    sides of the latents pass them on as they are, with little noise.
    """
    shifted = {
        name.replace(f"up_blocks.{level}.", f"up_blocks.{level + 1}."): weight
        for name, weight in source.state_dict().items()
        for level in [int(name.split(".")[2]) if name.startswith("decoder.up_blocks.") else -1]
        if name.startswith(("encoder.conv_in", "encoder.down_blocks", "decoder.conv_norm_out", "decoder.conv_out"))
        or level >= 0
    }
    news, channels = model.state_dict(), int(model.config.latent_channels)
    for name, new in news.items():
        if name in shifted and shifted[name].shape == new.shape:
            new.copy_(shifted[name])
        elif name.endswith("conv2.weight"):
            new.zero_()
    news["quant_conv.weight"].zero_()
    news["quant_conv.weight"][:channels, :channels, 0, 0] = torch.eye(channels)
    news["quant_conv.bias"][:channels], news["quant_conv.bias"][channels:] = 0.0, QUIET
    news["post_quant_conv.weight"][:, :, 0, 0] = torch.eye(channels)
    news["post_quant_conv.bias"].zero_()


def resize(images: torch.Tensor, side: int) -> torch.Tensor:
    """uint8 `(N, H, W, 3)` to uint8 `(N, 3, side, side)`, antialiased, in chunks."""
    chunks = images.split(256)
    shrink = lambda x: F.interpolate(x.permute(0, 3, 1, 2).float(), (side, side), mode="bicubic", antialias=True)  # noqa: E731
    return torch.cat([shrink(chunk).round().clamp(0, 255).byte() for chunk in chunks])


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """uint8 to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1.0


def random_crops(images: np.ndarray, batch_size: int, crop: int, size: int, rng: np.random.Generator) -> torch.Tensor:
    """A batch of random crops, half of them mirrored, `(batch_size, 3, crop, crop)` in [-1, 1].

    They are cut from photos shrunk to `size`, or to something between that and their own size.
    """
    crops, side = [], images.shape[1]
    for index in rng.integers(len(images), size=batch_size):
        shrunk = size if rng.random() < WHOLE else int(rng.integers(size, side + 1))
        extent = round(crop * side / shrunk)
        y, x = rng.integers(side - extent + 1, size=2)
        part = np.ascontiguousarray(images[index, y : y + extent, x : x + extent])
        resized = cv2.resize(part, (crop, crop), interpolation=cv2.INTER_AREA)
        crops.append(resized[:, ::-1] if rng.random() < 0.5 else resized)
    return to_pixels(torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2))


def reconstruction_loss(pixels: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared and absolute error, plus the absolute error of the gradients at three scales (sharp edges)."""
    loss = F.mse_loss(pixels, target) + 0.1 * F.l1_loss(pixels, target)
    for _ in range(3):
        for dim in (-1, -2):
            loss = loss + 0.03 * F.l1_loss(pixels.diff(dim=dim), target.diff(dim=dim))
        pixels, target = F.avg_pool2d(pixels, 2), F.avg_pool2d(target, 2)
    return loss


@torch.no_grad()
def psnrs(autoencoder: AutoencoderKL, pixels: torch.Tensor) -> np.ndarray:
    """The PSNR in dB of encode (posterior mean) and decode of each photo, `(N, 3, H, W)` in [-1, 1]."""
    scores = []
    for chunk in pixels.split(64):
        decoded = autoencoder.decode(autoencoder.encode(chunk).latent_dist.mean).sample.clamp(-1, 1)
        scores.append(-10 * ((decoded - chunk) / 2).square().mean((1, 2, 3)).log10())
    return torch.cat(scores).cpu().numpy()


def psnr_by_kind(autoencoder: AutoencoderKL, pixels: torch.Tensor, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean PSNR in dB by kind of photo, and over all photos."""
    scores = psnrs(autoencoder, pixels)
    kinds = np.array([row["kind"] for row in rows])
    by_kind = {str(kind): round(float(scores[kinds == kind].mean()), 2) for kind in np.unique(kinds)}
    return {**by_kind, "mean": round(float(scores.mean()), 2)}


def main(
    prepared: Annotated[Path, typer.Option(help="the file that training.prepare wrote")],
    folder: Annotated[Path, typer.Option(help="where checkpoint, log and weights go")],
    minutes: Annotated[float, typer.Option(help="time to train, counting resumed runs")] = 40,
    size: Annotated[int, typer.Option(help="side in pixels that photos are edited at")] = 128,
    crop: Annotated[int, typer.Option(help="side of the crops in pixels")] = 64,
    batch_size: Annotated[int, typer.Option(help="of each process")] = 6,
    learning_rate: float = 1e-3,
    start_from: Annotated[Path | None, typer.Option(help="weights to start from, of factor 4 or 8")] = None,
    decoder_only: Annotated[bool, typer.Option(help="leave the encoder as it is")] = False,
) -> None:
    """Train the autoencoder."""
    rank, device = join_processes(), pick_device()
    torch.manual_seed(0)
    cv2.setNumThreads(1)
    images, _, _ = load_prepared(prepared, "train")
    test_images, _, test_rows = load_prepared(prepared, "test")
    test_pixels = to_pixels(resize(torch.from_numpy(test_images), size)).to(device)
    model = start(size, start_from).to(device, memory_format=torch.channels_last)
    if decoder_only:
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    norms_in_float32(model)
    average = average_of(model, 0.998)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=1e-3, fused=True)
    run = Run(folder, minutes, {"model": model, "average": average, "optimizer": optimizer})
    rng = np.random.default_rng((rank, run.steps))

    def step(progress: float) -> dict[str, float]:
        optimizer.param_groups[0]["lr"] = learning_rate * rate_share(run.steps, progress)
        target = random_crops(images, batch_size, crop, size, rng).to(device, memory_format=torch.channels_last)
        loss, kl = losses(model, target, decoder_only=decoder_only)
        optimizer.zero_grad()
        loss.backward()
        average_gradients(trained)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        average.update_parameters(model)
        return {"loss": float(loss.detach()), "kl": float(kl.detach())}

    for number in run.loop(batch_size, step):
        if number % 500 == 0 and run.leads:
            print(
                f"step {number}: test PSNR {psnr_by_kind(average.module, test_pixels[::4], test_rows[::4])}", flush=True
            )
    if not run.leads:
        return
    result = average.module
    if not decoder_only:
        result.register_to_config(scaling_factor=scaling_factor(result, images, size, device))
    result.save_pretrained(folder / "weights")
    summary = {
        "psnr_test": psnr_by_kind(result, test_pixels, test_rows),
        "steps": run.steps,
        "minutes": run.elapsed / 60,
        "learning_rate": learning_rate,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    print(summary)


def rate_share(steps: int, progress: float) -> float:
    """Of the learning rate: rising over the first hundred steps, then a cosine that falls to a fiftieth."""
    return min((steps + 1) / 100, 1.0) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def losses(model: AutoencoderKL, target: torch.Tensor, *, decoder_only: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """What is minimised over a batch of crops `(B, 3, H, W)` in [-1, 1], and the divergence of its latents."""
    with autocast(target.device):
        posterior = model.encode(target).latent_dist
        decoded = model.decode(posterior.mean if decoder_only else posterior.sample()).sample
    kl = posterior.kl().float().mean() / posterior.mean[0].numel()
    return reconstruction_loss(decoded.float(), target) + (0.0 if decoder_only else 1e-4 * kl), kl


def start(size: int, start_from: Path | None) -> AutoencoderKL:
    """The model, from another's weights where they are given."""
    model = build_autoencoder(size)
    if start_from is None:
        return model
    source = AutoencoderKL.from_pretrained(start_from)
    if len(source.config.block_out_channels) < len(model.config.block_out_channels):
        start_from_three_levels(source, model)
    elif fresh := carry_over(source, model):
        raise typer.BadParameter(
            f"expected weights of the same autoencoder or of one with factor 4, got others: {fresh}"
        )
    else:
        model.register_to_config(scaling_factor=source.config.scaling_factor)
    return model


@torch.no_grad()
def scaling_factor(autoencoder: AutoencoderKL, images: np.ndarray, size: int, device: torch.device) -> float:
    """One over the standard deviation of the latents of a sample of photos, as Stable Diffusion defines it."""
    sample = images[np.random.default_rng(0).permutation(len(images))[:512]]
    pixels = to_pixels(resize(torch.from_numpy(sample), size))
    latents = [autoencoder.encode(chunk.to(device)).latent_dist.mean for chunk in pixels.split(64)]
    return float(1 / torch.cat(latents).std())


if __name__ == "__main__":
    run_command(main)
