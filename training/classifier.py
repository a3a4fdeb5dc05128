"""Train a small network that names what a photo shows, to judge what the denoiser draws.

    python -m training.classifier --prepared work/prepared.safetensors --folder work/classifier --minutes 4

writes its weights and, in `summary.json`, how often it is right on the test photos.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import typer
from safetensors.torch import load_model, save_model
from torch import nn

from training.captions import SPECIES
from training.prepare import load_prepared
from training.run import Run, autocast, average_of, pick_device

CLOTHES = ("shirt", "t-shirt", "pants", "shoes", "jacket", "dress", "shorts", "hat", "skirt", "hoodie")
FRUIT = (
    *("apple", "asparagus", "aubergine", "avocado", "banana", "beet", "cabbage", "carrot", "cucumber", "garlic"),
    *("ginger", "grapefruit", "kiwi", "leek", "lemon", "lime", "mango", "melon", "mushroom", "nectarine", "onion"),
    *("orange", "papaya", "passion fruit", "peach", "pear", "pepper", "pineapple", "plum", "pomegranate", "potato"),
    *("satsuma", "tomato", "zucchini"),
)
LABELS = (*SPECIES, "cat", "dog", "car", *CLOTHES, *FRUIT)
SIZE = 64
WIDTHS = (32, 64, 128, 256)
SMALLEST_CROP = 0.6  # side of the smallest crop, as a share of the photo's
HUE_TURN = {"flower": 40.0, "clothes": 180.0, "car": 180.0, "pet": 8.0, "fruit": 4.0}
"""Degrees at most: the colour of a flower or garment must not give its name away; a lime is told by it."""
GRAY = {"fruit": 0.0}
OTHER_GRAY = 0.15  # share of samples without any colour
SOFT = 0.5  # share of samples that are blurred, because generated images are softer than photos
YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


class Block(nn.Module):
    """Two convolutions, the first of stride 2, around a shortcut (He et al., CVPR 2016, in pre-activation form)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(out_channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride=2, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(channels, out_channels, 1, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(B, channels, h, w)` to `(B, out_channels, h / 2, w / 2)`."""
        activated = F.relu(self.norm1(hidden_states))
        residual = self.conv2(F.relu(self.norm2(self.conv1(activated))))
        return residual + self.shortcut(F.avg_pool2d(activated, 2))


class Classifier(nn.Module):
    """Pixels `(B, 3, 64, 64)` in [-1, 1] to the labels' logits `(B, labels)`."""

    def __init__(self, widths: Sequence[int] = WIDTHS, labels: Sequence[str] = LABELS) -> None:
        super().__init__()
        self.labels = tuple(labels)
        self.stem = nn.Conv2d(3, widths[0], 5, stride=2, padding=2)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in pairwise(widths)))
        self.norm, self.head = nn.BatchNorm2d(widths[-1]), nn.Linear(widths[-1], len(self.labels))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        hidden_states = F.relu(self.norm(self.blocks(self.stem(pixels))))
        return self.head(F.dropout(hidden_states.mean((2, 3)), 0.2, self.training))


def label_of(row: dict[str, Any]) -> str:
    """What the photo shows: its thing."""
    return str(row["thing"])


def augment(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A random crop at `SIZE`, perhaps mirrored and blurred, in other colours: uint8 `(H, W, 3)` to `(64, 64, 3)`."""
    side = image.shape[0]
    height, width = (int(side * share) for share in np.sqrt(rng.uniform(SMALLEST_CROP**2, 1.0, size=2)))
    y, x = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
    crop = cv2.resize(image[y : y + height, x : x + width], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    if rng.random() < SOFT:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.3, 1.3))
    turn = rng.uniform(-1, 1) * HUE_TURN[kind]
    saturation = 0.0 if rng.random() < GRAY.get(kind, OTHER_GRAY) else rng.uniform(0.6, 1.4)
    contrast, brightness = rng.uniform(0.75, 1.25), rng.uniform(-25, 25)
    recolored = (crop.astype(np.float32) - 128) @ turn_hue(turn, saturation).T * contrast + 128 + brightness
    return np.clip(recolored, 0, 255).astype(np.uint8)


def turn_hue(degrees: float, saturation: float) -> np.ndarray:
    """The matrix `(3, 3)` that turns RGB's hue and scales its saturation, leaving the luma (a rotation in YIQ)."""
    cos, sin = math.cos(math.radians(degrees)) * saturation, math.sin(math.radians(degrees)) * saturation
    turned = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return (np.linalg.inv(YIQ) @ turned @ YIQ).astype(np.float32)


def to_input(images: np.ndarray) -> torch.Tensor:
    """uint8 `(N, H, W, 3)` of any size to `(N, 3, 64, 64)` in [-1, 1]."""
    small = [cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for image in images]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def save_classifier(model: Classifier, folder: Path) -> None:
    """Write the network in float16 and its labels, in order."""
    save_model(model.half(), str(folder / "classifier.safetensors"))
    (folder / "labels.json").write_text(json.dumps(model.labels) + "\n")


def load_classifier(folder: Path) -> Classifier:
    """The network that `save_classifier` wrote to `folder`."""
    model = Classifier(labels=json.loads((folder / "labels.json").read_text()))
    load_model(model, folder / "classifier.safetensors")
    return model.eval().requires_grad_(False)


@torch.no_grad()
def classify(model: Classifier, images: np.ndarray) -> list[str]:
    """The label of each image, uint8 `(N, H, W, 3)`."""
    device = model.head.weight.device
    chunks = (to_input(images[i : i + 256]).to(device) for i in range(0, len(images), 256))
    return [model.labels[int(index)] for chunk in chunks for index in model(chunk).argmax(1)]


def confusion(asked: Sequence[str], named: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each asked word was named as each label, rows in the order they first appear."""
    table = {word: dict.fromkeys(LABELS, 0) for word in dict.fromkeys(asked)}
    for word, label in zip(asked, named, strict=True):
        table[word][label] += 1
    return table


def accuracy(asked: Sequence[str], named: Sequence[str]) -> float:
    """Share of images that were named as asked."""
    return sum(word == label for word, label in zip(asked, named, strict=True)) / max(len(asked), 1)


class Photos:
    """The train photos by label; a label is drawn as often as the square root of its photos."""

    def __init__(self, images: np.ndarray, rows: list[dict[str, Any]]) -> None:
        labels = np.array([label_of(row) for row in rows])
        self.images, self.kinds = images, [row["kind"] for row in rows]
        self.pools = [np.flatnonzero(labels == label) for label in LABELS]
        shares = np.array([len(pool) for pool in self.pools]) ** 0.5
        self.shares = shares / shares.sum()

    def draw(self, number: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels `(number, 3, 64, 64)` in [-1, 1] and the indices of their labels `(number,)`."""
        targets = rng.choice(len(self.pools), number, p=self.shares)
        chosen = [int(rng.choice(self.pools[target])) for target in targets]
        crops = [augment(self.images[index], self.kinds[index], rng) for index in chosen]
        return to_input(np.stack(crops)), torch.from_numpy(targets)


def main(
    prepared: Annotated[Path, typer.Option(help="the file that training.prepare wrote")],
    folder: Annotated[Path, typer.Option(help="where checkpoint, log and weights go")],
    minutes: Annotated[float, typer.Option(help="time to train, counting resumed runs")] = 4,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
) -> None:
    """Train the classifier and print how often it is right on the test photos."""
    device = pick_device()
    torch.manual_seed(0)
    images, _, rows = load_prepared(prepared, "train")
    photos = Photos(images, rows)
    model = Classifier().to(device, memory_format=torch.channels_last)
    average = average_of(model, 0.99)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.05)
    run = Run(folder, minutes, {"model": model, "average": average, "optimizer": optimizer})
    rng = np.random.default_rng(run.steps)

    def step(progress: float) -> dict[str, float]:
        warmup = min((run.steps + 1) / 50, 1.0)
        optimizer.param_groups[0]["lr"] = (
            learning_rate * warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        )
        pixels, targets = (part.to(device) for part in photos.draw(batch_size, rng))
        with autocast(device):
            logits = model(pixels.contiguous(memory_format=torch.channels_last)).float()
        loss = F.cross_entropy(logits, targets, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        return {"loss": float(loss.detach()), "accuracy": float((logits.argmax(1) == targets).float().mean())}

    for _ in run.loop(batch_size, step):
        pass
    save_classifier(average.module, folder)
    result = load_classifier(folder)
    test_images, _, test_rows = load_prepared(prepared, "test")
    shown, named = [label_of(row) for row in test_rows], classify(result, test_images)
    at: dict[str, list[int]] = {}
    for index, row in enumerate(test_rows):
        at.setdefault(row["kind"], []).append(index)
    by_kind = {kind: accuracy([shown[i] for i in own], [named[i] for i in own]) for kind, own in at.items()}
    summary = {
        "accuracy_test": accuracy(shown, named),
        "accuracy_by_kind": by_kind,
        "confusion": {
            label: {other: count for other, count in row.items() if count}
            for label, row in confusion(shown, named).items()
        },
        "steps": run.steps,
        "minutes": run.elapsed / 60,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    shares = ", ".join(f"{kind} {share:.1%}" for kind, share in by_kind.items())
    print(f"right on {summary['accuracy_test']:.1%} of {len(shown)} test photos ({shares})")


if __name__ == "__main__":
    typer.run(main)
