r"""Views of the prepared photos as latents, computed once and kept in memory.

    python -m training.latents --prepared work/prepared.safetensors \
        --autoencoder work/autoencoder/weights --out work/whole.safetensors
    python -m training.latents --prepared work/prepared.safetensors \
        --autoencoder work/autoencoder/weights --seed 1 --out work/views-1.safetensors

The first file holds the photos whole, those for testing too; each with a seed holds other views of those for training.
The denoiser takes several files.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from itertools import islice
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
from training.dyes import Tones, choose_tones
from training.prepare import load_prepared, load_rows
from training.run import autocast, norms_in_float32, pick_device
from training.views import PET_COLORS, View, Views

NUMBER = {"pet": (5, 2), "clothes": (3, 0), "flower": (3, 0), "fruit": (1, 0), "car": (16, 4)}
"""Random views a photo with one seed, where the thing's pixels are known and where they are not."""
BATCH = 32
TOLD = ("color", "background", "dyed", "pasted")  # where a view differs from its photo


def tones_of(rows: list[dict[str, Any]]) -> dict[str, Tones]:
    """What things of each kind are dyed to, from the tones of the train photos."""
    measured: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["tone"]:
            measured[row["kind"]][row["color"]].append(row["tone"])
    tones = {kind: choose_tones(measured, kind) for kind in NUMBER}
    return {**tones, "pet": {color: tones["pet"][color] for color in PET_COLORS if color in tones["pet"]}}


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, images: np.ndarray, device: torch.device) -> np.ndarray:
    """uint8 `(N, H, W, 3)` to scaled latents `(N, C, h, w)` float16 (the posterior's mean)."""
    pixels = to_pixels(torch.from_numpy(images).permute(0, 3, 1, 2)).to(device, memory_format=torch.channels_last)
    with autocast(device):
        latents = autoencoder.encode(pixels).latent_dist.mean * autoencoder.config.scaling_factor
    return latents.half().cpu().contiguous().numpy()


def encode_views(
    views: Iterable[View], autoencoder: AutoencoderKL, device: torch.device
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """The views' latents, the thing's share of each of their cells (uint8), and what their captions should tell."""
    latents, shares, rows = [], [], []
    factor = 2 ** (len(autoencoder.config.block_out_channels) - 1)
    while chunk := list(islice(views, BATCH)):
        images, masks, told = zip(*chunk, strict=True)
        latents.append(encode(autoencoder, np.stack(images), device))
        cells = tuple(side // factor for side in masks[0].shape)
        shares += [(cv2.resize(mask, cells, interpolation=cv2.INTER_AREA) * 255).round() for mask in masks]
        rows += [{key: row[key] for key in TOLD if key in row} for row in told]
    return np.concatenate(latents), np.stack(shares).astype(np.uint8), rows


def main(
    prepared: Annotated[Path, typer.Option(help="the file that training.prepare wrote")],
    autoencoder: Annotated[Path, typer.Option(help="the folder of the autoencoder's weights")],
    out: Annotated[Path, typer.Option(help="the file to write")],
    seed: Annotated[int | None, typer.Option(help="of random views of the train photos; none: photos whole")] = None,
    size: int = 128,
) -> None:
    """Encode the photos, or views of them."""
    cv2.setNumThreads(1)
    device = pick_device()
    model = AutoencoderKL.from_pretrained(autoencoder).to(device, memory_format=torch.channels_last)
    norms_in_float32(model)
    tones = tones_of(load_rows(prepared, "train"))
    tensors, metadata = {}, {}
    for split in ("train", "test") if seed is None else ("train",):
        images, objects, rows = load_prepared(prepared, split)
        views, rng = Views(images, objects, rows, tones, size), np.random.default_rng(seed or 0)
        if seed is None:
            indices = list(range(len(rows)))
            drawn = (views.whole(index, mirrored=index % 2 == 1) for index in indices)
        else:
            numbers = (NUMBER[row["kind"]][0 if row["has_object"] else 1] for row in rows)
            indices = [index for index, number in enumerate(numbers) for _ in range(number)]
            drawn = (views.draw(index, rng) for index in indices)
        bar = tqdm(drawn, total=len(indices), desc=f"encode {split}", disable=None)
        tensors[f"{split}.latents"], tensors[f"{split}.masks"], told = encode_views(iter(bar), model, device)
        told = [{**row, "row": index} for row, index in zip(told, indices, strict=True)]
        metadata[split] = json.dumps({"rows": rows, "views": told})
        print(f"{split}: {len(told)} views of {len(rows)} photos")
    draft = out.with_suffix(".part")
    save_file(tensors, draft, metadata)
    draft.replace(out)


if __name__ == "__main__":
    typer.run(main)
