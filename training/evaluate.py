r"""Measure a model: autoencoder, colours and names obeyed, words looked at, nothing memorised.

    python -m training.evaluate --model backbones/bundled --prepared work/prepared.safetensors \
        --classifier work/classifier --photos flower-photos-144.zip --photos car-photos-192.zip \
        --out work/evaluation

writes `evaluation.json` with every figure and `samples.png`, the images that the figures are about.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from tqdm import tqdm

from backbones.backbone import Backbone
from backbones.loading import load_backbone
from backbones.photo import open_photo
from backbones.view import look_at
from inversion.invert import invert
from inversion.schedule import make_schedule
from inversion.settings import InversionSettings
from masks.aggregate import word_heat
from masks.binarize import PUBLISHED_THRESHOLD, published
from masks.record import record_maps
from masks.refine import refine_mask
from training.archives import photos_of
from training.autoencoder import psnr_by_kind, resize, to_pixels
from training.captions import caption_of
from training.classifier import Classifier, accuracy, classify, confusion, label_of, load_classifier
from training.colors import COLORS, FLOWER_COLORS, name_color
from training.generate import draw_samples, requests, sample
from training.neighbours import neighbours
from training.prepare import load_prepared
from workshop.command import run_command
from workshop.overlap import iou
from workshop.tables import markdown

MAP_LEVELS = 10  # noise levels at which a photo's attention is looked at
THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
SMALL = 0.25  # of the frame: an animal that fills less is judged apart too
GOALS = {
    "psnr": 27.0,
    "color": 0.9,
    "name": 0.8,
    "iou": {"flower": 0.8, "pet": 0.75, "small pet": 0.5, "clothes": 0.75},
}


def colors_obeyed(images: Sequence[np.ndarray], colors: Sequence[str | None], kinds: Sequence[str]) -> dict[str, Any]:
    """Share of the images whose centre-weighted colour is the one in `colors`, over all and by colour.

    A flower stands before leaves, so green is none of the colours it is seen in.
    """
    pairs = [
        (color, name_color(image, names=FLOWER_COLORS if kind == "flower" else COLORS))
        for image, color, kind in zip(images, colors, kinds, strict=True)
        if color
    ]
    right = {name: [found == color for color, found in pairs if color == name] for name in COLORS}
    return {
        "share": float(np.mean([found == color for color, found in pairs])),
        "images": len(pairs),
        "by_color": {name: float(np.mean(hits)) for name, hits in right.items() if hits},
    }


def names_obeyed(
    kinds: Sequence[str], nouns: Sequence[str], labels: Sequence[str], named: Sequence[str]
) -> dict[str, Any]:
    """Share of the images that the classifier names as labelled, over all and by kind, and its answers to each noun."""
    at = {kind: [i for i, other in enumerate(kinds) if other == kind] for kind in dict.fromkeys(kinds)}
    return {
        "share": accuracy(labels, named),
        "by_kind": {
            kind: accuracy([labels[i] for i in found], [named[i] for i in found]) for kind, found in at.items()
        },
        "images": {kind: len(found) for kind, found in at.items()},
        "confusion": confusion(nouns, named),
    }


@torch.no_grad()
def noun_heat(backbone: Backbone, row: dict[str, Any], steps: int) -> torch.Tensor:
    """Where the model sees the noun of a photo's caption along the photo's DDIM inversion, `(h, w)`."""
    caption, noun = caption_of(row)
    settings = InversionSettings(inversion="direct", steps=steps)
    trajectory = invert(backbone, look_at(backbone, open_photo(row["image"])), caption, settings)
    schedule, levels = make_schedule(backbone, steps), trajectory.spread_steps(MAP_LEVELS)
    timesteps = [schedule.timesteps[level] for level in levels]
    maps = record_maps(backbone, trajectory.latents[levels], timesteps, backbone.condition([caption]))
    words = backbone.parse(caption).find(noun)
    return word_heat(maps, [position for word in words for position in word.positions])


def words_looked_at(backbone: Backbone, rows: list[dict[str, Any]], steps: int) -> dict[str, Any]:
    """Mean IoU of the noun's mask with the object, under the published rule, by kind of photo.

    Given are the best threshold (one for all photos of the kind), the published threshold, and, for comparison, a
    mask of the whole frame, whose IoU is the object's share of the photo.
    """
    scores: dict[str, list[list[float]]] = defaultdict(list)
    frames: dict[str, list[float]] = defaultdict(list)
    for row in tqdm(rows, desc="words", disable=None):
        heat, share = noun_heat(backbone, row, steps).cpu(), float(row["object"].mean())
        masks = [refine_mask(published(heat, float(t)).numpy(), row["image"], "plain") for t in THRESHOLDS]
        for kind in (row["kind"], *([f"small {row['kind']}"] if row["kind"] == "pet" and share < SMALL else [])):
            scores[kind].append([iou(mask, row["object"]) for mask in masks])
            frames[kind].append(share)
    result = {}
    for kind, found in scores.items():
        means = np.mean(found, axis=0)
        result[kind] = {
            "iou": float(means.max()),
            "threshold": float(THRESHOLDS[means.argmax()]),
            "iou_as_published": float(means[np.abs(THRESHOLDS - PUBLISHED_THRESHOLD).argmin()]),
            "iou_of_whole_frame": float(np.mean(frames[kind])),
            "photos": len(found),
        }
    return result


def summary_table(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Measure, figure, goal and whether it is met."""
    names, words, near = figures["names"]["generated"], figures["words"], figures["neighbours"]
    measures = [
        ("autoencoder, test photos (PSNR in dB)", figures["autoencoder"]["psnr"]["mean"], GOALS["psnr"]),
        ("colour obeyed", figures["colors"]["generated"]["share"], GOALS["color"]),
        *((f"name obeyed, {kind}", share, GOALS["name"]) for kind, share in names["by_kind"].items()),
        *(
            (f"noun's attention on the object, {kind} (IoU)", words[kind]["iou"], goal)
            for kind, goal in GOALS["iou"].items()
            if kind in words
        ),
        *((f"nearest train photo, {kind}: samples / test photos", row["ratio"], 1.0) for kind, row in near.items()),
    ]
    return [
        {"measure": measure, "figure": figure, "goal": goal, "result": "met" if figure >= goal else "missed"}
        for measure, figure, goal in measures
    ]


def evaluate(
    backbone: Backbone,
    classifier: Classifier,
    prepared: Path,
    photos: list[Path],
    *,
    seeds: int,
    steps: int,
    guidance_scale: float,
    number: int,
) -> tuple[dict[str, Any], np.ndarray]:
    """Every figure, and the images `(N, H, W, 3)` of `requests(seeds)`."""
    seconds: dict[str, float] = {}

    def timed(name: str, measure: Any, *args: Any) -> Any:
        start = time.monotonic()
        result = measure(*args)
        seconds[name] = round(time.monotonic() - start, 1)
        return result

    test_images, _, test_rows = load_prepared(prepared, "test")
    shown, kinds = [label_of(row) for row in test_rows], [row["kind"] for row in test_rows]
    pixels = to_pixels(resize(torch.from_numpy(test_images), backbone.image_size)).to(backbone.device)
    psnr = timed("autoencoder", psnr_by_kind, backbone.vae, pixels, test_rows)
    wanted = requests(seeds)
    nouns, asked_kinds = [request.noun for request in wanted], [request.kind for request in wanted]
    images = timed("generate", sample, backbone, wanted, steps, guidance_scale)
    named, named_photos = timed("names", lambda: (classify(classifier, images), classify(classifier, test_images)))
    colors = {
        "generated": colors_obeyed(images, [request.color for request in wanted], asked_kinds),
        "photos": colors_obeyed(test_images, [row["color"] for row in test_rows], kinds),
    }
    words = timed("words", words_looked_at, backbone, photos_of(photos, "test", number), steps)
    train_images, _, _ = load_prepared(prepared, "train")
    near = timed("neighbours", neighbours, images, asked_kinds, test_images, kinds, train_images)
    figures = {
        "size": backbone.image_size,
        "seeds": seeds,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "autoencoder": {"psnr": psnr, "photos": len(test_rows)},
        "colors": colors,
        "names": {
            "generated": names_obeyed(asked_kinds, nouns, [request.label for request in wanted], named),
            "photos": names_obeyed(kinds, shown, shown, named_photos),
        },
        "words": words,
        "neighbours": near,
        "seconds": seconds,
    }
    return {**figures, "table": summary_table(figures)}, images


def main(
    prepared: Annotated[Path, typer.Option(help="the file that training.prepare wrote")],
    classifier: Annotated[Path, typer.Option(help="the folder that training.classifier wrote")],
    photos: Annotated[list[Path], typer.Option(help="the photo archives")],
    out: Annotated[Path, typer.Option(help="the folder to write to")],
    model: str = "bundled",
    seeds: Annotated[int, typer.Option(help="images of every noun in every colour")] = 3,
    steps: int = 30,
    guidance_scale: Annotated[float | None, typer.Option(help="the model's own by default")] = None,
    number: Annotated[int, typer.Option(help="photos of each archive whose words are looked at")] = 56,
) -> None:
    """Evaluate the model and print its figures beside their goals."""
    backbone = load_backbone(model)
    options = {"seeds": seeds, "steps": steps, "guidance_scale": backbone.guidance(guidance_scale), "number": number}
    figures, images = evaluate(backbone, load_classifier(classifier), prepared, photos, **options)
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(figures, indent=1) + "\n")
    draw_samples(images, requests(seeds), out / "samples.png")
    print(markdown(figures["table"]))
    for what in ("generated", "photos"):
        table, by_color = figures["names"][what]["confusion"], figures["colors"][what]["by_color"]
        print(f"\n{what}: what the classifier names (columns) when shown or asked for (rows)\n")
        print(markdown([{"": noun, **counts} for noun, counts in table.items()]))
        print(f"\n{what}: share whose colour is the one in the caption\n\n{markdown([by_color])}")
    print(f"\nwords\n\n{markdown([{'': kind, **row} for kind, row in figures['words'].items()])}")
    print(f"\nneighbours\n\n{markdown([{'': kind, **row} for kind, row in figures['neighbours'].items()])}")
    print(f"\nseconds: {figures['seconds']}")


if __name__ == "__main__":
    run_command(main)
