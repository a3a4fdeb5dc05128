r"""Measure a model: autoencoder, colours and species obeyed, words looked at, nothing memorised.

    python -m training.evaluate --model backbones/bundled --prepared work/prepared.safetensors \
        --classifier work/classifier --photos flower-photos-144.zip --photos pet-photos-144.zip --out work/evaluation

writes `evaluation.json` with every figure and `samples.png`, the images that the figures are about.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from matplotlib.figure import Figure
from tqdm import tqdm

from backbones.backbone import Backbone, check_finite
from backbones.geometry import plan_geometry
from backbones.latents import decode, encode
from backbones.loading import load_backbone
from backbones.photo import open_photo
from backbones.pixels import to_pixels as photo_to_pixels
from backbones.text import encode_captions, encode_prompt, parse_caption
from benchmarks.fidelity import caption_of, iou, photos_of
from inversion.ddim import ddim_invert
from inversion.guidance import guide
from inversion.schedule import make_schedule
from inversion.steps import ddim_step
from masks.aggregate import record_maps, word_heat
from masks.binarize import PUBLISHED_THRESHOLD, published
from masks.refine import refine_mask
from training.autoencoder import mean_psnr, resize, to_pixels
from training.captions import BREEDS, SPECIES, describe
from training.classifier import Classifier, accuracy, classify, confusion, label_of, load_classifier
from training.colors import FLOWER_COLORS, name_color
from training.prepare import load_prepared
from workshop.command import run_command
from workshop.tables import markdown

ANIMAL_OF = {"cat": "cat", "dog": "dog", "abyssinian": "cat", "bengal": "cat", "bulldog": "dog"}
KINDS = ("flowers", "pets")
BATCH = 32
MAP_LEVELS = 10  # noise levels at which a photo's attention is looked at
THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
NEIGHBOUR_SIDE = 32  # photos are compared at this side, where they are blurred alike


@dataclass(frozen=True)
class Request:
    """One image to generate."""

    caption: str
    noun: str
    color: str | None
    seed: int

    @property
    def label(self) -> str:
        """What the classifier should name it."""
        return ANIMAL_OF.get(self.noun, self.noun)


def requests(seeds: int) -> list[Request]:
    """`seeds` images of every colour of every species, and as many of every animal; each noun sees the same seeds."""
    colors = [color for color in FLOWER_COLORS for _ in range(seeds)]
    wanted = [(noun, color, seed) for noun in SPECIES for seed, color in enumerate(colors)]
    wanted += [(noun, None, seed) for noun in ("cat", "dog", *BREEDS) for seed in range(len(colors))]
    return [Request(describe(noun, color), noun, color, seed) for noun, color, seed in wanted]


@torch.no_grad()
def sample(backbone: Backbone, wanted: Sequence[Request], steps: int, guidance_scale: float) -> np.ndarray:
    """The images uint8 `(N, H, W, 3)` that `Editor.generate` gives for the same captions and seeds, in batches."""
    side, schedule = int(backbone.unet.config.sample_size), make_schedule(backbone, steps)
    shape = (int(backbone.unet.config.in_channels), side, side)
    images = []
    for start in tqdm(range(0, len(wanted), BATCH), desc="generate", disable=None):
        batch = wanted[start : start + BATCH]
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(request.seed)) for request in batch]
        latents = torch.stack(noise).to(backbone.device)
        captions = [""] * len(batch) + [request.caption for request in batch]
        embeds = encode_captions(backbone, [parse_caption(backbone.tokenizer, caption) for caption in captions])
        for i, timestep in enumerate(schedule.timesteps):
            uncond, cond = backbone.noise_pred(torch.cat([latents, latents]), timestep, embeds).chunk(2)
            noise_pred = guide(uncond, cond, guidance_scale)
            latents = ddim_step(latents, noise_pred, schedule.alpha_prods[i], schedule.alpha_prods[i + 1])
        pixels = decode(backbone, check_finite(latents, "sampled latents"))
        images.append(((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(images)


def colors_obeyed(images: Sequence[np.ndarray], colors: Sequence[str | None]) -> dict[str, Any]:
    """Share of the images whose centre-weighted colour is the one in `colors`, over all and by colour."""
    pairs = [(color, name_color(image)) for image, color in zip(images, colors, strict=True) if color]
    right = {name: [found == color for color, found in pairs if color == name] for name in FLOWER_COLORS}
    return {
        "share": float(np.mean([found == color for color, found in pairs])),
        "images": len(pairs),
        "by_color": {name: float(np.mean(hits)) for name, hits in right.items() if hits},
    }


def names_obeyed(nouns: Sequence[str], labels: Sequence[str], named: Sequence[str]) -> dict[str, Any]:
    """Share of flowers and of animals that the classifier names as labelled, and its answers to each noun."""
    of_kind = {
        kind: [i for i, label in enumerate(labels) if (label in SPECIES) == (kind == "flowers")] for kind in KINDS
    }
    shares = {kind: accuracy([labels[i] for i in at], [named[i] for i in at]) for kind, at in of_kind.items()}
    return {**shares, "images": {kind: len(at) for kind, at in of_kind.items()}, "confusion": confusion(nouns, named)}


def kind_of(noun: str) -> str:
    return "flowers" if noun in SPECIES else "pets"


@torch.no_grad()
def noun_heat(backbone: Backbone, row: dict[str, Any], steps: int) -> torch.Tensor:
    """Where the model sees the noun of a photo's caption along the photo's DDIM inversion, `(h, w)`."""
    caption, noun = caption_of(row)
    photo, schedule = open_photo(row["image"]), make_schedule(backbone, steps)
    pixels = photo_to_pixels(photo, plan_geometry(photo.size, backbone.image_size, backbone.size_multiple))
    embeds = encode_prompt(backbone, caption)
    pivots = ddim_invert(backbone, schedule, encode(backbone, pixels), embeds)
    levels = sorted({round(level) for level in np.linspace(0, steps - 1, MAP_LEVELS)})
    maps = record_maps(backbone, pivots[levels], [schedule.timesteps[i] for i in levels], embeds)
    words = parse_caption(backbone.tokenizer, caption).find(noun)
    return word_heat(maps, [position for word in words for position in word.positions])


def words_looked_at(backbone: Backbone, rows: list[dict[str, Any]], steps: int) -> dict[str, Any]:
    """Mean IoU of the noun's mask with the object, under the published rule, by kind of photo.

    Given are the best threshold (one for all photos of the kind), the published threshold, and, for comparison, a
    mask of the whole frame, whose IoU is the object's share of the photo.
    """
    scores: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    frames: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for row in tqdm(rows, desc="words", disable=None):
        kind, heat = kind_of(label_of(row)), noun_heat(backbone, row, steps).cpu()
        masks = [refine_mask(published(heat, float(t)).numpy(), row["image"], "plain") for t in THRESHOLDS]
        scores[kind].append([iou(mask, row["object"]) for mask in masks])
        frames[kind].append(float(row["object"].mean()))
    result = {}
    for kind in KINDS:
        means = np.mean(scores[kind], axis=0)
        result[kind] = {
            "iou": float(means.max()),
            "threshold": float(THRESHOLDS[means.argmax()]),
            "iou_as_published": float(means[np.abs(THRESHOLDS - PUBLISHED_THRESHOLD).argmin()]),
            "iou_of_whole_frame": float(np.mean(frames[kind])),
            "photos": len(scores[kind]),
        }
    return result


def shrink(images: np.ndarray) -> torch.Tensor:
    """uint8 `(N, H, W, 3)` to `(N, 3072)` float32 in [0, 1]."""
    side = (NEIGHBOUR_SIDE, NEIGHBOUR_SIDE)
    small = np.stack([cv2.resize(image, side, interpolation=cv2.INTER_AREA) for image in images])
    return torch.from_numpy(small).flatten(1).float() / 255


def nearest(images: np.ndarray, photos: torch.Tensor) -> np.ndarray:
    """RMS distance of each image to the nearest of `photos` (from `shrink`) or of their mirror images, `(N,)`."""
    both = [shrink(images), shrink(images[:, :, ::-1])]  # to mirror an image is to mirror all the photos
    distances = torch.stack([torch.cdist(part, photos).amin(1) for part in both]).amin(0)
    return (distances / photos.shape[1] ** 0.5).numpy()


def neighbours(
    samples: np.ndarray,
    nouns: Sequence[str],
    test: np.ndarray,
    shown: Sequence[str],
    train: np.ndarray,
    dyed: np.ndarray,
) -> dict[str, Any]:
    """How near samples come to the train photos, seen whole, beside how near test photos come, which are no copies.

    A soft image is nearer to every photo than a sharp one. So it also counts how often the photo nearest to a sample,
    among all undyed photos, is a test photo: as often as test photos are among them, where nothing is memorised.
    """
    photos, undyed, tested, result = shrink(train), shrink(train[~dyed]), shrink(test), {}
    kinds = {
        "samples": np.array([kind_of(noun) for noun in nouns]),
        "test": np.array([kind_of(noun) for noun in shown]),
    }
    for kind in KINDS:
        drawn = samples[kinds["samples"] == kind]
        ours, theirs = nearest(drawn, photos), nearest(test[kinds["test"] == kind], photos)
        result[kind] = {
            "median_of_samples": float(np.median(ours)),
            "median_of_test_photos": float(np.median(theirs)),
            "ratio": float(np.median(ours) / np.median(theirs)),
            "share_nearer_than_1_percent_of_test_photos": float((ours < np.percentile(theirs, 1)).mean()),
            "share_nearest_to_a_test_photo": float((nearest(drawn, tested) < nearest(drawn, undyed)).mean()),
            "share_of_test_photos": len(tested) / (len(tested) + len(undyed)),
        }
    return result


def summary_table(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Measure, figure, goal and whether it is met."""
    psnr_goal = 28.0 if figures["size"] >= 128 else 26.0
    names, words, near = figures["names"]["generated"], figures["words"], figures["neighbours"]
    measures = [
        ("autoencoder, test photos (PSNR in dB)", figures["autoencoder"]["psnr"], psnr_goal),
        ("colour obeyed", figures["colors"]["generated"]["share"], 0.85),
        ("species obeyed", names["flowers"], 0.7),
        ("animal obeyed", names["pets"], 0.7),
        *((f"noun's attention on the object, {kind} (IoU)", words[kind]["iou"], 0.5) for kind in KINDS),
        *((f"nearest train photo, {kind}: samples / test photos", near[kind]["ratio"], 1.0) for kind in KINDS),
    ]
    return [
        {"measure": measure, "figure": figure, "goal": goal, "result": "met" if figure >= goal else "missed"}
        for measure, figure, goal in measures
    ]


def draw_samples(images: np.ndarray, wanted: Sequence[Request], path: Path) -> None:
    """Rows are nouns; columns are colours and seeds for flowers, seeds alone for animals."""
    nouns = list(dict.fromkeys(request.noun for request in wanted))
    rows = {noun: [i for i, request in enumerate(wanted) if request.noun == noun] for noun in nouns}
    columns = max(len(row) for row in rows.values())
    figure = Figure(figsize=(columns * 0.8 + 1, len(nouns) * 0.9), layout="constrained")
    axes = figure.subplots(len(nouns), columns, squeeze=False)
    for row, noun in enumerate(nouns):
        for column, axis in enumerate(axes[row]):
            axis.set(xticks=[], yticks=[], frame_on=False)
            if column < len(rows[noun]):
                request = wanted[rows[noun][column]]
                axis.imshow(images[rows[noun][column]])
                axis.set_title(request.color or f"seed {request.seed}", fontsize=6, pad=2)
        axes[row][0].set_ylabel(noun, fontsize=8)
    figure.savefig(path, dpi=150)


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
    shown = [label_of(row) for row in test_rows]
    pixels = to_pixels(resize(torch.from_numpy(test_images), backbone.image_size)).to(backbone.device)
    psnr = timed("autoencoder", mean_psnr, backbone.vae, pixels)
    wanted = requests(seeds)
    nouns = [request.noun for request in wanted]
    images = timed("generate", sample, backbone, wanted, steps, guidance_scale)
    named, named_photos = timed("names", lambda: (classify(classifier, images), classify(classifier, test_images)))
    colors = {
        "generated": colors_obeyed(images, [request.color for request in wanted]),
        "photos": colors_obeyed(test_images, [row.get("color") for row in test_rows]),
    }
    words = timed("words", words_looked_at, backbone, photos_of(photos, "test", number), steps)
    train_images, _, train_rows = load_prepared(prepared, "train")
    dyed = np.array([bool(row.get("dyed")) for row in train_rows])
    near = timed("neighbours", neighbours, images, nouns, test_images, shown, train_images, dyed)
    figures = {
        "size": backbone.image_size,
        "seeds": seeds,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "autoencoder": {"psnr": psnr, "photos": len(test_rows)},
        "colors": colors,
        "names": {
            "generated": names_obeyed(nouns, [request.label for request in wanted], named),
            "photos": names_obeyed(shown, shown, named_photos),
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
    seeds: Annotated[int, typer.Option(help="images of every colour of every species")] = 3,
    steps: int = 30,
    guidance_scale: float = 7.5,
    number: Annotated[int, typer.Option(help="photos of each archive whose words are looked at")] = 56,
) -> None:
    """Evaluate the model and print its figures beside their goals."""
    options = {"seeds": seeds, "steps": steps, "guidance_scale": guidance_scale, "number": number}
    figures, images = evaluate(load_backbone(model), load_classifier(classifier), prepared, photos, **options)
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
