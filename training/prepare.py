r"""Read the photo archives, find the things' pixels, and write one file to train from.

    python -m training.prepare --photos flower-photos-144.zip --photos clothes-photos-192.zip \
        --out work/prepared.safetensors

Give every archive. The photos themselves are read in place.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from safetensors import safe_open
from safetensors.numpy import save_file

from training.archives import read_archive
from training.dyes import dyeable, measure_tone

SIDE = 192  # what photos are enlarged or shrunk to


def to_side(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its pixels at `SIDE` and the tone of its thing, where its colour and pixels are known."""
    image, mask = row.pop("image"), row.pop("object")
    del row["border"]  # of which training makes no use
    tone = None
    if mask is not None and row["color"]:
        tone = measure_tone(image, dyeable(image, mask, row["color"], row["kind"]), row["color"])
    if image.shape[0] != SIDE:
        shrink = image.shape[0] > SIDE
        image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
        mask = None if mask is None else cv2.resize(mask.astype(np.float32), (SIDE, SIDE)) > 0.5
    return {**row, "image": image, "object": mask, "tone": tone}


def read_prepared_archive(path: Path) -> list[dict[str, Any]]:
    cv2.setNumThreads(1)
    return [to_side(row) for row in read_archive(path)]


def load_prepared(path: Path, split: str) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Images `(N, 192, 192, 3)` uint8, object masks `(N, 192, 192)` bool (all False where unknown), and rows."""
    with safe_open(path, "np") as file:
        rows = json.loads(file.metadata()[split])
        objects = np.unpackbits(file.get_tensor(f"{split}.objects"), axis=-1).astype(bool)
        return file.get_tensor(f"{split}.images"), objects, rows


def load_rows(path: Path, split: str) -> list[dict[str, Any]]:
    """The rows alone."""
    with safe_open(path, "np") as file:
        rows: list[dict[str, Any]] = json.loads(file.metadata()[split])
    return rows


def main(
    photos: Annotated[list[Path], typer.Option(help="the photo archives")],
    out: Annotated[Path, typer.Option(help="the file to write")],
) -> None:
    """Prepare the photos for training."""
    # Spawned, not forked: a copy of a process whose OpenCV has threads may wait for them for ever.
    with ProcessPoolExecutor(min(len(photos), os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        rows = [row for part in pool.map(read_prepared_archive, photos) for row in part]
    tensors, metadata = {}, {}
    for split in ("train", "test"):
        part = [row for row in rows if row["split"] == split]
        empty = np.zeros((SIDE, SIDE), bool)
        objects = np.stack([empty if row["object"] is None else row["object"] for row in part])
        tensors[f"{split}.images"] = np.stack([row["image"] for row in part])
        tensors[f"{split}.objects"] = np.packbits(objects, axis=-1)
        kept = [{key: value for key, value in row.items() if key not in ("image", "object")} for row in part]
        metadata[split] = json.dumps(
            [{**row, "has_object": source["object"] is not None} for row, source in zip(kept, part, strict=True)]
        )
        for kind, number in sorted(Counter(row["kind"] for row in part).items()):
            masks = sum(row["kind"] == kind and row["object"] is not None for row in part)
            colors = sum(row["kind"] == kind and row["color"] is not None for row in part)
            print(f"{split} {kind}: {number} photos, {colors} with a colour, {masks} with the thing's pixels")
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out, metadata)


if __name__ == "__main__":
    typer.run(main)
