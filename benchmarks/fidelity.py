"""How faithfully photos are reconstructed, and how well words find their object.

    python -m benchmarks.fidelity --photos flower-photos-144.zip --photos pet-photos-144.zip

prints two tables: the reconstruction PSNR of every inversion at guidance 7.5 against the autoencoder's ceiling, and
the mask IoU of every rule and refinement against the pets' trimaps and the flowers that stand out by their colour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from tqdm import tqdm

from backbones.backbone import Backbone
from backbones.levels import Prediction
from backbones.loading import load_backbone
from backbones.photo import open_photo
from backbones.view import View, look_at
from benchmarks.published import as_published
from editing.editor import Editor
from editing.settings import InversionSettings
from inversion.invert import invert, walk_of
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory
from masks.aggregate import word_heat
from masks.binarize import RULES, binarize
from masks.refine import REFINEMENTS, refine_mask
from training.archives import photos_of
from training.captions import caption_of
from workshop.command import run_command
from workshop.overlap import iou
from workshop.tables import markdown


@dataclass(frozen=True)
class Way:
    """A way to invert, for the table of reconstructions: settings, and whether null-text is exactly as published."""

    settings: InversionSettings
    as_published: bool = False


METHODS: dict[str, Way] = {
    "DDIM": Way(InversionSettings(inversion="direct")),
    "null-text, as published": Way(InversionSettings(inversion="direct"), as_published=True),
    "null-text, 10 updates from the caption": Way(
        InversionSettings(max_inner_steps=10, null_text_start="caption", null_text_block=1)
    ),
    "null-text, searched": Way(InversionSettings(inversion="null_text_search")),
    "null-text, the default": Way(InversionSettings()),
    "negative-prompt": Way(InversionSettings(inversion="negative_prompt")),
    "proximal": Way(InversionSettings(inversion="proximal")),
    "predictor-corrector": Way(InversionSettings(inversion="predictor_corrector")),
    "fixed point": Way(InversionSettings(inversion="fixed_point")),
    "edit-friendly": Way(InversionSettings(inversion="edit_friendly")),
    "EDICT": Way(InversionSettings(inversion="edict")),
}
"""Guided sampling leaves a path by as much as this table says. Edits replay it, and so leave it by nothing."""

GUIDANCE = 7.5
SPREADS = (0, 1, 2)


def reconstruction_table(editor: Editor, rows: list[dict[str, Any]], steps: int) -> list[dict[str, object]]:
    """Mean and worst PSNR of guided sampling with the photo's own caption, in dB, and its distance from the ceiling."""
    backbone = editor.backbone
    scores: dict[str, list[float]] = defaultdict(list)
    for row in tqdm(rows, desc="reconstruct", disable=None):
        view, (caption, _) = look_at(backbone, open_photo(row["image"])), caption_of(row)
        scores["ceiling"].append(_psnr(backbone.decode(view.latents), view.pixels))
        for name, way in METHODS.items():
            scores[name].append(_psnr(backbone.decode(reconstruct(backbone, view, caption, way, steps)), view.pixels))
    ceiling = np.array(scores.pop("ceiling"))
    table: list[dict[str, object]] = [_row("the autoencoder alone", ceiling, ceiling)]
    return table + [_row(name, np.array(values), ceiling) for name, values in scores.items()]


def reconstruct(backbone: Backbone, view: View, caption: str, way: Way, steps: int) -> torch.Tensor:
    """Inverted, and sampled back with the model's guidance for Stable Diffusion, without replay: `(1, C, h, w)`."""
    settings = replace(way.settings, steps=steps, guidance_scale=GUIDANCE)
    path = invert(backbone, view, caption, settings)
    if way.as_published:
        path = as_published(backbone, path)
    return path.arrived if path.arrived is not None else walk_back(backbone, path.to(backbone.device))


@torch.no_grad()
def walk_back(backbone: Backbone, path: Trajectory) -> torch.Tensor:
    """Where the walk of the path's method leads with its own caption and without replay, `(1, C, h, w)`."""
    walk, timesteps = walk_of(backbone, path, False), make_schedule(backbone, path.steps).timesteps
    condition = backbone.condition([path.caption])

    def predict(i: int, source: torch.Tensor, targets: torch.Tensor) -> tuple[Prediction, Prediction, Prediction]:
        of_source, cond = (backbone.predict(latents, timesteps[i], condition) for latents in (source, targets))
        return of_source, backbone.predict(targets, timesteps[i], path.uncond[i]), cond

    source = targets = walk.begin()
    for i in range(walk.first, path.steps):
        source, targets = walk.step(i, source, targets, partial(predict, i))
    return source[0].float()


def _row(name: str, values: np.ndarray, ceiling: np.ndarray) -> dict[str, object]:
    below = ceiling - values
    return {
        "inversion": name,
        "PSNR (dB)": float(values.mean()),
        "lowest": float(values.min()),
        "under the ceiling (dB)": float(below.mean()),
        "at most": float(below.max()),
    }


def mask_table(editor: Editor, rows: list[dict[str, Any]], steps: int) -> list[dict[str, object]]:
    """Mean IoU of each rule, spread and refinement, by kind of photo."""
    scores: dict[tuple[str, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in tqdm(rows, desc="masks", disable=None):
        for setting, mask in masks_of(editor, row, steps):
            scores[setting][row["kind"]].append(iou(mask, row["object"]))
    table = [
        {"rule": rule, "spread": spread, "refinement": refinement}
        | {f"{kind} IoU": float(np.mean(values)) for kind, values in by_kind.items()}
        for (rule, spread, refinement), by_kind in scores.items()
    ]
    return sorted(table, key=lambda row: -sum(v for k, v in row.items() if k.endswith("IoU")))


def masks_of(editor: Editor, row: dict[str, Any], steps: int) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """The object's mask under every setting, `(H, W)` bool at the photo's size."""
    caption, noun = caption_of(row)
    path = editor.invert(row["image"], caption, inversion="direct", steps=steps)
    maps = editor.attention(path)
    words = editor.backbone.parse(caption).find(noun)
    positions = [position for word in words for position in word.positions]
    for spread in SPREADS:
        heat = word_heat(maps, positions, spread=spread)
        for rule in RULES:
            soft = binarize(heat, rule).cpu().numpy()
            for refinement in REFINEMENTS:
                yield (rule, str(spread), refinement), refine_mask(soft, row["image"], refinement)


def _psnr(pixels: torch.Tensor, reference: torch.Tensor) -> float:
    return float(-10 * ((pixels - reference) / 2).square().mean().log10())


def main(
    photos: Annotated[list[Path], typer.Option(help="the photo archives")],
    model: str = "bundled",
    split: Annotated[str, typer.Option(help="'train' to choose defaults, 'test' to report")] = "test",
    number: Annotated[int, typer.Option(help="photos of each archive for the masks; 0 leaves them out")] = 56,
    reconstructions: Annotated[
        int, typer.Option(help="photos of each archive for the reconstructions; 0 leaves them out")
    ] = 12,
    steps: int = 50,
) -> None:
    """Print the tables."""
    editor = Editor(load_backbone(model, device=None))
    if reconstructions:
        rows = photos_of(photos, split, reconstructions)
        table = reconstruction_table(editor, rows, steps)
        print(f"{len(rows)} {split} photos, {steps} steps, guidance {GUIDANCE}\n\n{markdown(table)}\n")
    if number:
        rows = photos_of(photos, split, number)
        print(f"masks of the noun on {len(rows)} {split} photos\n\n{markdown(mask_table(editor, rows, steps))}")


if __name__ == "__main__":
    run_command(main)
