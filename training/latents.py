r"""Crops of the prepared photos as latents, computed once and kept in memory.

    python -m training.latents --prepared work/prepared.safetensors \
        --autoencoder work/autoencoder/weights --out work/latents.safetensors

The first two crops of every photo are the whole photo and its mirror image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from diffusers import AutoencoderKL
from safetensors.numpy import save_file
from tqdm import tqdm

from training.autoencoder import to_pixels
from training.prepare import load_prepared
from training.run import pick_device

CROPS = {"pet": 28, "flower": 8, "dyed": 5}  # crops a photo; pets are few, dyed flowers already look alike
SMALLEST_CROP = 0.7  # side of the smallest crop, as a share of the photo's


def kind_of(row: dict[str, Any]) -> str:
    return "pet" if "animal" in row else "dyed" if row.get("dyed") else "flower"


def crops(
    image: np.ndarray, mask: np.ndarray, number: int, size: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Random square crops at `size`, half of them mirrored, with the object's share of each 4x4 cell in [0, 1].

    The first two are the whole photo and its mirror image, which is what an edit sees.
    """
    side = image.shape[0]
    for index in range(number):
        crop = side if index < 2 else int(rng.integers(int(side * SMALLEST_CROP), side + 1))
        y, x = rng.integers(0, side - crop + 1, size=2)
        flip = -1 if index % 2 else 1
        pixels = image[y : y + crop, x : x + crop][:, ::flip]
        shares = mask[y : y + crop, x : x + crop][:, ::flip].astype(np.float32)
        shrink = {"interpolation": cv2.INTER_AREA}
        yield cv2.resize(pixels, (size, size), **shrink), cv2.resize(shares, (size // 4, size // 4), **shrink)


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, images: np.ndarray, device: torch.device) -> np.ndarray:
    """uint8 `(N, H, W, 3)` to scaled latents `(N, C, H / 4, W / 4)` float16 (the posterior's mean)."""
    pixels = to_pixels(torch.from_numpy(images).permute(0, 3, 1, 2)).to(device, memory_format=torch.channels_last)
    latents = autoencoder.encode(pixels).latent_dist.mean * autoencoder.config.scaling_factor
    return latents.half().cpu().contiguous().numpy()


def main(
    prepared: Annotated[Path, typer.Option(help="the file that training.prepare wrote")],
    autoencoder: Annotated[Path, typer.Option(help="the folder of the autoencoder's weights")],
    out: Annotated[Path, typer.Option(help="the file to write")],
    size: int = 64,
) -> None:
    """Encode the photos' crops."""
    device = pick_device()
    model = AutoencoderKL.from_pretrained(autoencoder).to(device, memory_format=torch.channels_last)
    rng = np.random.default_rng(0)
    tensors, all_rows = {}, {}
    for split in ("train", "test"):
        images, objects, rows = load_prepared(prepared, split)
        latents, masks, indices = [], [], []
        for index, row in enumerate(tqdm(rows, desc=f"encode {split}", disable=None)):
            number = CROPS[kind_of(row)] if split == "train" else 2
            pixels, shares = zip(*crops(images[index], objects[index], number, size, rng), strict=True)
            latents.append(encode(model, np.stack(pixels), device))
            masks.append((np.stack(shares) * 255).round().astype(np.uint8))
            indices += [index] * number
        tensors[f"{split}.latents"] = np.concatenate(latents)
        tensors[f"{split}.masks"] = np.concatenate(masks)
        tensors[f"{split}.rows"] = np.array(indices)
        all_rows[split] = json.dumps(rows)
        print(f"{split}: {len(indices)} crops of {len(rows)} photos")
    save_file(tensors, out, all_rows)


if __name__ == "__main__":
    typer.run(main)
