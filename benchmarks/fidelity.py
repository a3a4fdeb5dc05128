"""How faithfully photos are reconstructed, and how well words find their object.

    python -m benchmarks.fidelity --photos flower-photos-144.zip --photos pet-photos-144.zip

prints two tables: the reconstruction PSNR of every inversion at guidance 7.5 against the autoencoder's ceiling, and
the mask IoU of every rule and refinement against the pets' trimaps and the flowers that stand out by their colour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from tqdm import tqdm

from backbones.geometry import plan_geometry
from backbones.latents import decode, encode
from backbones.loading import load_backbone
from backbones.photo import open_photo
from backbones.pixels import to_pixels
from backbones.text import encode_prompt, parse_caption
from editing.edit import Editor
from editing.settings import InversionSettings
from inversion.ddim import ddim_sample
from inversion.invert import invert
from inversion.schedule import make_schedule
from masks.aggregate import word_heat
from masks.binarize import RULES, binarize
from masks.refine import REFINEMENTS, refine_mask
from training.archives import photos_of
from training.captions import caption_of
from workshop.command import run_command
from workshop.overlap import iou
from workshop.tables import markdown

OURS = {"method": "null_text", "max_inner_steps": InversionSettings().max_inner_steps}
METHODS: dict[str, dict[str, Any]] = {
    "DDIM": {"method": "ddim"},
    "null-text, as published": {"method": "null_text", "as_published": True},
    "null-text, 10 updates from the caption": {"method": "null_text", "null_text_start": "caption"},
    "null-text, ours without residuals": OURS,
    "null-text, ours": {**OURS, "exact": True},
    "negative-prompt": {"method": "negative_prompt"},
    "direct": {"method": "direct", "exact": True},
}
SPREADS = (0, 1, 2)


def reconstruction_table(editor: Editor, rows: list[dict[str, Any]], steps: int) -> list[dict[str, object]]:
    """Mean and worst PSNR of each method against the photo, in dB, and its distance from the ceiling."""
    backbone = editor.backbone
    schedule = make_schedule(backbone, steps)
    scores: dict[str, list[float]] = defaultdict(list)
    for row in tqdm(rows, desc="reconstruct", disable=None):
        photo, (caption, _) = open_photo(row["image"]), caption_of(row)
        pixels = to_pixels(photo, plan_geometry(photo.size, backbone.image_size, backbone.size_multiple))
        latents = encode(backbone, pixels)
        scores["ceiling"].append(_psnr(decode(backbone, latents), pixels))
        embeds = encode_prompt(backbone, caption)
        for name, options in METHODS.items():
            exact = options.get("exact", False)
            path = invert(backbone, latents, caption, steps=steps, **{k: v for k, v in options.items() if k != "exact"})
            residuals = path.residuals if exact else None
            levels = ddim_sample(
                backbone, schedule, path.latents[:1], embeds, path.uncond_embeds, path.guidance_scale, residuals
            )
            scores[name].append(_psnr(decode(backbone, levels[-1:]), pixels))
    ceiling = np.array(scores.pop("ceiling"))
    table: list[dict[str, object]] = [_row("the autoencoder alone", ceiling, ceiling)]
    return table + [_row(name, np.array(values), ceiling) for name, values in scores.items()]


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
    words = parse_caption(editor.backbone.tokenizer, caption).find(noun)
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
        print(f"{len(rows)} {split} photos, {steps} steps, guidance 7.5\n\n{markdown(table)}\n")
    if number:
        rows = photos_of(photos, split, number)
        print(f"masks of the noun on {len(rows)} {split} photos\n\n{markdown(mask_table(editor, rows, steps))}")


if __name__ == "__main__":
    run_command(main)
