"""Colour swaps of flowers: does the flower turn, and does everything else stay?

    python -m benchmarks.swaps --photos flower-photos-144.zip --set "" --set "cross_replace=0.4 self_replace=0.6"

Each `--set` is one row of the table: settings of the inversion and the edit over the defaults, and `emphasis`, the new
colour's weight. Choose settings on the train split; report the test split.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from tqdm import tqdm

from backbones.loading import load_backbone
from benchmarks.fidelity import caption_of, iou, photos_of
from benchmarks.tables import markdown
from editing.edit import Editor, EditResult
from editing.settings import InversionSettings, split_settings
from editing.sheet import draw_sheet
from editing.verdict import psnr
from inversion.trajectory import Trajectory
from training.colors import FLOWER_COLORS, color_masks


def swap_of(row: dict[str, Any], index: int) -> tuple[str, str, str]:
    """Caption, new caption and asked colour; the colours take turns."""
    caption, _ = caption_of(row)
    others = [color for color in FLOWER_COLORS if color != row["color"]]
    asked = others[index % len(others)]
    old, new = (f"{'an' if color == 'orange' else 'a'} {color}" for color in (row["color"], asked))
    return caption, caption.replace(old, new), asked


def score(result: EditResult, truth: np.ndarray, asked: str) -> dict[str, float]:
    """Figures of one swap.

    Args:
        result: The edit.
        truth: The flower's pixels, `(H, W)` bool, at the photo's size.
        asked: The colour.

    Returns:
        The share of the flower's pixels that have the asked colour, in the model's own edit and in the composite, in
        per cent; PSNR of the model's edit against its reconstruction outside the flower, in dB; mask IoU.
    """
    small = cv2.resize(truth.astype(np.float32), result.drawn.size, interpolation=cv2.INTER_AREA)
    drawn, reconstruction = (np.asarray(image) for image in (result.drawn, result.reconstruction))
    inside, outside = small > 0.5, small < 0.5
    return {
        "asked colour (%)": 100 * float(color_masks(drawn)[asked][inside].mean()),
        "in the result (%)": 100 * float(color_masks(np.asarray(result.image))[asked][truth].mean()),
        "background PSNR (dB)": psnr(drawn / 255, reconstruction / 255, outside),
        "mask IoU": iou(np.asarray(result.mask) > 0, truth),
    }


def read_options(text: str) -> dict[str, Any]:
    """`cross_replace=0.4 mask_rule=otsu` as keyword arguments."""

    def value(part: str) -> Any:
        try:
            return ast.literal_eval(part)
        except (ValueError, SyntaxError):
            return part

    return {name: value(part) for name, _, part in (pair.partition("=") for pair in text.split())}


def main(
    photos: Annotated[list[Path], typer.Option(help="the flower archive")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="one row, such as 'self_replace=0.2'")] = None,
    model: str = "bundled",
    split: Annotated[str, typer.Option(help="'train' to choose settings, 'test' to report")] = "test",
    number: int = 24,
    steps: int = 50,
    sheet: Annotated[Path | None, typer.Option(help="a picture of the first row's edits")] = None,
) -> None:
    """Print the table."""
    settings = settings or [""]
    editor = Editor(load_backbone(model))
    rows = photos_of(photos, split, number)
    scores: dict[str, list[dict[str, float]]] = {text: [] for text in settings}
    panels = []
    for index, row in enumerate(tqdm(rows, desc="swaps", disable=None)):
        caption, new_caption, asked = swap_of(row, index)
        trajectories: dict[InversionSettings, Trajectory] = {}
        for text in settings:
            options = {"steps": steps} | read_options(text)
            weight = options.pop("emphasis", 1.0)
            inversion, edit = split_settings({"reweight": {asked: weight}, **options})
            if inversion not in trajectories:
                trajectories[inversion] = editor.invert(row["image"], caption, inversion)
            result = editor.edit(trajectories[inversion], new_caption, edit)
            scores[text].append(score(result, row["object"], asked))
            if sheet and text == settings[0]:
                panels += [(caption.removeprefix("a photo of "), result.photo.image), (f"{asked}", result.image)]
    table = [
        {"settings": text or "default", **{key: float(np.mean([one[key] for one in s])) for key in s[0]}}
        for text, s in scores.items()
    ]
    print(f"colour swaps on {len(rows)} {split} photos, {steps} steps\n\n{markdown(table)}")
    if sheet:
        draw_sheet(panels, f"colour swaps, {settings[0] or 'default settings'}", columns=8).save(sheet)


if __name__ == "__main__":
    typer.run(main)
