r"""Read the photo archives, find the flowers' pixels, dye some flowers, and write one file to train from.

    python -m training.prepare --photos flower-photos-144.zip \
        --photos pet-photos-144.zip --out work/prepared.safetensors

The photos themselves are read in place.
"""

from __future__ import annotations

import io
import json
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file
from tqdm import tqdm

from training.colors import FLOWER_COLORS, segment_flower
from training.dyes import dye_as, find_petals

LOW_CONFIDENCE = 0.25  # a colour guessed with less is left out of the caption
DYES_PER_PHOTO = 3


def read_archive(path: Path) -> list[dict[str, Any]]:
    """The archive's rows, each with its `image` (H, W, 3) uint8 and, for pets, its `trimap` (H, W) uint8."""
    with zipfile.ZipFile(path) as archive:
        rows = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        for row in rows:
            row["image"] = np.array(Image.open(io.BytesIO(archive.read(row["file_name"]))).convert("RGB"))
            if "mask" in row:
                row["trimap"] = np.array(Image.open(io.BytesIO(archive.read(row.pop("mask")))))
    return rows


def expand(row: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """A row as the model sees it: object mask found, weak colours dropped; a train flower also comes dyed."""
    if "trimap" in row:
        # The border class is half animal: it counts as animal, since a map is judged on what it must not miss.
        return [{**row, "object": row["trimap"] != 2}]
    if row["color"] and row["color_confidence"] < LOW_CONFIDENCE:
        row = {**row, "color": None}
    mask = segment_flower(row["image"], row["color"]) if row["color"] else None
    row = {**row, "object": mask}
    rows = [row]
    if mask is not None and row["split"] == "train":
        rng = np.random.default_rng(seed)
        petals = find_petals(row["image"], mask, row["color"])
        others = [color for color in FLOWER_COLORS if color != row["color"]]
        for color in map(str, rng.permutation(others)[:DYES_PER_PHOTO]):
            dyed = dye_as(row["image"], petals, color, rng)
            if dyed is not None:
                rows.append({**row, "image": dyed, "color": color, "dyed": True})
    return rows


def load_prepared(path: Path, split: str) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Images `(N, 144, 144, 3)` uint8, object masks `(N, 144, 144)` bool (all False where unknown), and rows."""
    with safe_open(path, "np") as file:
        rows = json.loads(file.metadata()["rows"])
        keep = [i for i, row in enumerate(rows) if row["split"] == split]
        return file.get_tensor("images")[keep], file.get_tensor("objects")[keep], [rows[i] for i in keep]


def main(
    photos: Annotated[list[Path], typer.Option(help="the photo archives")],
    out: Annotated[Path, typer.Option(help="the file to write")],
) -> None:
    """Prepare the photos for training."""
    source = [row for path in photos for row in read_archive(path)]
    with ProcessPoolExecutor() as pool:
        expanded = pool.map(expand, source, range(len(source)), chunksize=16)
        rows = [row for group in tqdm(expanded, total=len(source), desc="prepare", disable=None) for row in group]
    images = np.stack([row.pop("image") for row in rows])
    empty = np.zeros(images.shape[1:3], bool)
    objects = np.stack([empty if row["object"] is None else row["object"] for row in rows])
    for row in rows:
        row["has_object"] = row.pop("object") is not None
        row.pop("trimap", None)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({"images": images, "objects": objects}, out, {"rows": json.dumps(rows)})
    dyed = sum("dyed" in row for row in rows)
    print(f"{len(rows)} rows ({dyed} dyed), {sum(row['has_object'] for row in rows)} with an object mask -> {out}")


if __name__ == "__main__":
    typer.run(main)
