"""The images that an evaluation asks the model for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from backbones.backbone import Backbone
from backbones.finite import check_finite
from backbones.levels import Prediction
from inversion.guidance import guide
from inversion.schedule import make_schedule
from inversion.steps import ddim_step
from training.captions import SPECIES, describe
from training.classifier import CLOTHES
from training.colors import COLORS, FLOWER_COLORS

BATCH = 32
PETS = ("cat", "dog", "abyssinian", "bengal", "maine coon", "bulldog", "pointer", "havanese", "pomeranian")
ANIMAL_OF = {**dict.fromkeys(PETS[2:5], "cat"), **dict.fromkeys(PETS[5:], "dog")}
CAR_COLORS = ("white", "black", "gray", "red", "yellow", "blue", "green")
FRUIT_COLORS = {
    "apples": ("red", "green", "yellow"),
    "bananas": ("yellow",),
    "carrots": ("orange",),
    "cucumbers": ("green",),
    "lemons": ("yellow",),
    "limes": ("green",),
    "oranges": ("orange",),
    "pears": ("green", "yellow"),
    "peppers": ("red", "yellow", "green", "orange"),
    "tomatoes": ("red",),
}
SINGULAR = {"tomatoes": "tomato"}


@dataclass(frozen=True)
class Request:
    """One image to generate."""

    caption: str
    noun: str
    kind: str
    color: str | None
    seed: int

    @property
    def label(self) -> str:
        """What the classifier should name it."""
        if self.kind == "fruit":
            return SINGULAR.get(self.noun, self.noun.removesuffix("s"))
        return ANIMAL_OF.get(self.noun, self.noun)


def requests(seeds: int) -> list[Request]:
    """`seeds` images of every noun in every colour that it is asked in; each noun sees the same seeds."""
    asked: dict[str, dict[str, Sequence[str | None]]] = {
        "flower": dict.fromkeys(SPECIES, FLOWER_COLORS),
        "clothes": dict.fromkeys(CLOTHES, COLORS),
        "fruit": dict(FRUIT_COLORS),
        "car": {"car": CAR_COLORS},
        "pet": dict.fromkeys(PETS, (None,) * 4),
    }
    return [
        Request(describe(noun, color), noun, kind, color, seed)
        for kind, colors_of in asked.items()
        for noun, colors in colors_of.items()
        for seed, color in enumerate(color for color in colors for _ in range(seeds))
    ]


@torch.no_grad()
def sample(backbone: Backbone, wanted: Sequence[Request], steps: int, guidance_scale: float) -> np.ndarray:
    """The images uint8 `(N, H, W, 3)` that `Editor.generate` gives for the same captions and seeds, in batches."""
    side, schedule = backbone.image_size // backbone.vae_factor, make_schedule(backbone, steps)
    shape = (backbone.latent_channels, side, side)
    images = []
    for start in tqdm(range(0, len(wanted), BATCH), desc="generate", disable=None):
        batch = wanted[start : start + BATCH]
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(request.seed)) for request in batch]
        latents = torch.stack(noise).to(backbone.device)
        captions = [""] * len(batch) + [request.caption for request in batch]
        condition = backbone.condition(captions)
        for i, timestep in enumerate(schedule.timesteps):
            seen = backbone.predict(torch.cat([latents, latents]), timestep, condition)
            uncond, cond = (Prediction(*half) for half in zip(*(part.chunk(2) for part in seen), strict=True))
            latents = ddim_step(guide(uncond, cond, guidance_scale), schedule.levels[i + 1])
        pixels = backbone.decode(check_finite(latents, "sampled latents"))
        images.append(((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(images)


def draw_samples(images: np.ndarray, wanted: Sequence[Request], path: Path) -> None:
    """Rows are nouns; columns are colours and seeds, seeds alone for animals."""
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
