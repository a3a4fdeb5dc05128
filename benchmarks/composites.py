r"""What the composite makes of a small drawing, against a truth: photos whose things are dyed in another colour.

    python -m benchmarks.composites --photos flower-photos-144.zip --photos clothes-photos-192.zip

The drawings are the photo and its dyed twin, each through the model's autoencoder at `--side` pixels: what a model that
makes no mistakes would draw. The twin at full size is what the composite should come to.
"""

from __future__ import annotations

import json
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from skimage.color import deltaE_ciede2000
from tqdm import tqdm

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.geometry import plan_geometry
from backbones.loading import load_backbone
from backbones.photo import open_photo
from backbones.pixels import to_pixels, to_unit
from editing.settings import EditSettings
from masks.composite import composite, enlarge_edit
from masks.refine import soften
from training.archives import read_archive
from training.dyes import choose_tones, dye_as, dyeable, measure_tone, to_lab
from workshop.command import run_command
from workshop.tables import markdown

RIM = 3 / 192  # of the side: how far on both sides of a thing's edge its rim reaches
SMALLEST = 64  # the least `--side`: with less, the autoencoder draws nothing that could be told apart


@dataclass(frozen=True, eq=False)
class Dyed:
    """A photo, its thing's pixels, and the photo with them dyed.

    Attributes:
        photo: `(H, W, 3)` uint8.
        truth: The same.
        object: `(H, W)` bool.
        color: The colour that was asked for.
    """

    photo: np.ndarray
    truth: np.ndarray
    object: np.ndarray
    color: str


@dataclass(frozen=True)
class Way:
    """Settings of `enlarge_edit` and of the mask."""

    keep_detail: bool = True
    texture: float = 1.0
    feather: float = EditSettings.feather


WAYS = {
    "colours mapped": Way(),
    "colours mapped, hard mask": Way(feather=0.0),
    "all that was drawn": Way(texture=0.0),
    "drawing enlarged": Way(keep_detail=False),
}


def read_rows(archive: Path, split: str, number: int) -> list[dict[str, Any]]:
    """Up to `number` of a split's photos, evenly spread: those whose thing's pixels and colour are known."""
    try:
        with zipfile.ZipFile(archive) as opened:
            given = [json.loads(line) for line in opened.read("metadata.jsonl").splitlines()]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise EditRealError(f"expected a zip archive of photos with metadata.jsonl, got {archive}: {error}") from error
    names = [row["file_name"] for row in given if row["split"] == split and row.get("color")]
    chosen = {names[int(place)] for place in np.linspace(0, len(names) - 1, min(number, len(names)))}
    return [row for row in read_archive(archive, chosen) if row["object"] is not None and row["color"]]


def dye_photos(rows: Sequence[Mapping[str, Any]]) -> Iterator[Dyed]:
    """Each photo in a colour of others of its kind, the colours in turn; photos that none takes are left out."""
    bodies = [dyeable(row["image"], row["object"], row["color"], row["kind"]) for row in rows]
    measured: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row, body in zip(rows, bodies, strict=True):
        if tone := measure_tone(row["image"], body, row["color"]):
            measured[row["kind"]][row["color"]].append(tone)
    rng = np.random.default_rng(0)
    for place, (row, body) in enumerate(zip(rows, bodies, strict=True)):
        tones = choose_tones(measured, row["kind"])
        colors = [color for color in sorted(tones) if color != row["color"]]
        color = colors[place % len(colors)] if colors else None
        truth = None if color is None else dye_as(row["image"], body, color, tones[color], rng)
        if color is not None and truth is not None:
            yield Dyed(row["image"], truth, row["object"], color)


def draw(backbone: Backbone, photo: np.ndarray, side: int) -> np.ndarray:
    """The photo through the autoencoder alone, `(h, w, 3)` in [0, 1], about `side` pixels a side."""
    geometry = plan_geometry((photo.shape[1], photo.shape[0]), side, backbone.size_multiple)
    return to_unit(backbone.decode(backbone.encode(to_pixels(open_photo(photo), geometry)))[0])


def finish(way: Way, dyed: Dyed, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    shares = soften(dyed.object, dyed.photo, way.feather)
    enlarged = enlarge_edit(dyed.photo, before, after, shares, keep_detail=way.keep_detail, texture=way.texture)
    return composite(dyed.photo, enlarged, shares)


def measure(result: np.ndarray, dyed: Dyed) -> dict[str, float]:
    """How far a composite is from the truth.

    Returns:
        `inside` and `inside, 95 %` (mean and 95th percentile) and `rim`, CIEDE2000 colour differences inside the thing
        and within `RIM` of its edge; `edges`, the correlation of lightness gradients inside with the truth's;
        `contrast`, the standard deviation of lightness inside over the truth's; `blown`, per cent of the pixels inside
        with a channel at its end where the truth has none.
    """
    core, rim = bands(dyed.object)
    lab, truth = to_lab(result), to_lab(dyed.truth)
    difference = deltaE_ciede2000(lab, truth)
    found, wanted = (gradient(image[..., 0])[core] for image in (lab, truth))
    ends = [(image >= 254).any(-1)[core] for image in (result, dyed.truth)]
    return {
        "inside": float(difference[core].mean()),
        "inside, 95 %": float(np.percentile(difference[core], 95)),
        "rim": float(difference[rim].mean()),
        "edges": float(np.corrcoef(found, wanted)[0, 1]),
        "contrast": float(lab[core][:, 0].std() / truth[core][:, 0].std()),
        "blown": 100 * float((ends[0] & ~ends[1]).mean()),
    }


def bands(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is deep inside a mask, and what is near its edge on both sides, `(H, W)` bool."""
    inside, outside = (cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5) for part in (mask, ~mask))
    width = RIM * max(mask.shape)
    return inside > width, np.maximum(inside, outside) <= width


def gradient(channel: np.ndarray) -> np.ndarray:
    return np.hypot(cv2.Sobel(channel, cv2.CV_32F, 1, 0), cv2.Sobel(channel, cv2.CV_32F, 0, 1))


def table(figures: Mapping[str, Sequence[tuple[str, dict[str, float]]]], belongs: Callable[[str], bool]) -> str:
    """Each way's means over the photos whose asked colour belongs."""
    rows = []
    for way, measured in figures.items():
        chosen = [figure for color, figure in measured if belongs(color)]
        means = {name: f"{np.mean([figure[name] for figure in chosen]):.2f}" for name in chosen[0]} if chosen else {}
        rows.append({"": way, **means})
    return markdown(rows)


def main(
    photos: Annotated[list[Path], typer.Option(help="the photo archives")],
    split: Annotated[str, typer.Option(help="'train' to choose settings on, 'test' to report")] = "train",
    number: Annotated[int, typer.Option(min=1, help="photos looked at of each archive")] = 60,
    side: Annotated[int, typer.Option(min=SMALLEST, help="of the drawings, in pixels")] = SMALLEST,
    model: str = "bundled",
) -> None:
    """Measure the composites."""
    backbone = load_backbone(model)
    rows = [row for archive in photos for row in read_rows(archive, split, number)]
    figures: dict[str, list[tuple[str, dict[str, float]]]] = {name: [] for name in WAYS}
    for dyed in tqdm(dye_photos(rows), desc="composites", unit="photo", disable=None):
        if not bands(dyed.object)[0].any():
            continue
        before, after = (draw(backbone, photo, side) for photo in (dyed.photo, dyed.truth))
        for name, way in WAYS.items():
            figures[name].append((dyed.color, measure(finish(way, dyed, before, after), dyed)))
    colors = [color for color, _ in figures[next(iter(WAYS))]]
    if not colors:
        raise EditRealError(f"expected {split} photos that can be dyed, got none; look at more with --number")
    print(f"{len(colors)} {split} photos, drawn at {side} pixels a side\n\n{table(figures, lambda _: True)}")
    if white := colors.count("white"):
        print(f"\nthe {white} that turn white\n\n{table(figures, lambda color: color == 'white')}")


if __name__ == "__main__":
    run_command(main)
