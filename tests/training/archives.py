"""Small archives of every kind of photo."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 192


def disc(side: int = SIDE, radius: float = 0.25) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side - 0.5
    return y**2 + x**2 < radius**2


def photo(paint: tuple[int, int, int], ground: tuple[int, int, int] = (200, 195, 190), side: int = SIDE) -> np.ndarray:
    """A disc on a plain ground, with a little grain."""
    image = np.where(disc(side)[..., None], paint, ground) + np.random.default_rng(0).normal(0, 3, (side, side, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


ROWS: dict[str, list[tuple[dict[str, Any], np.ndarray, np.ndarray | None]]] = {
    "flower-photos-144": [
        (
            {"flower": "daisy", "color": "red", "color_confidence": 0.9, "background": "green", "source": "page"},
            photo((200, 10, 20), (40, 110, 30), 144),
            None,
        ),
        (
            {"flower": "rose", "color": "red", "color_confidence": 0.1, "background": None},
            photo((200, 10, 20), (40, 110, 30), 144),
            None,
        ),
    ],
    "pet-photos-144": [
        (
            {"animal": "cat", "breed": "bengal"},
            photo((150, 100, 60), side=144),
            np.where(disc(144), 1, np.where(disc(144, 0.3), 3, 2)).astype(np.uint8),
        ),
    ],
    "clothes-photos-192": [
        (
            {"thing": "pants", "label": "Pants", "color": "blue", "color_confidence": 0.9, "separation": 5.0},
            photo((30, 40, 160)),
            disc(),
        ),
        (
            {"thing": "dress", "label": "Dress", "color": "blue", "color_confidence": 0.3, "separation": 0.9},
            photo((30, 40, 160)),
            disc(),
        ),
    ],
    "fruit-photos-192": [
        ({"thing": "lime", "things": "limes", "label": "Fruit/Lime", "color": "brown"}, photo((60, 160, 30)), None),
        (
            {"thing": "carrots", "things": "carrots", "label": "Vegetables/Carrots", "color": None},
            photo((240, 130, 20)),
            None,
        ),
        (
            {"thing": "peach", "things": "peaches", "label": "Fruit/Peach", "color": "green"},
            photo((240, 130, 90)),
            None,
        ),
    ],
    "car-photos-192": [
        (
            {"thing": "car", "color": "yellow", "license": "CC BY 2.0", "owner": "A. Driver"},
            photo((240, 210, 20)),
            None,
        ),
        ({"thing": "car", "color": "black"}, photo((20, 20, 20)), None),
    ],
}


def write_archives(folder: Path) -> list[Path]:
    """One archive of each kind; every photo is there for training and for testing."""
    return [_write(folder / f"{name}.zip", rows) for name, rows in ROWS.items()]


def _write(path: Path, rows: list[tuple[dict[str, Any], np.ndarray, np.ndarray | None]]) -> Path:
    told = []
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "test"):
            for number, (row, image, mask) in enumerate(rows):
                name = f"{split}/{number}"
                archive.writestr(f"{name}.png", _png(image))
                if mask is not None:
                    archive.writestr(f"{name}-mask.png", _png(mask))
                told.append({**row, "file_name": f"{name}.png", "split": split})
                told[-1]["mask"] = None if mask is None else f"{name}-mask.png"
        archive.writestr("metadata.jsonl", "\n".join(map(json.dumps, told)))
    return path


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
