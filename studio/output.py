"""What every way in says and writes: targets checked before any work, results written, verdicts printed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import typer
from PIL import Image

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.photo import Photo
from backbones.saving import check_target, write_picture
from editing.plan import EditPlan
from editing.result import EditResult
from editing.verdict import format_metrics, warn_of_captions


def check_targets(targets: Iterable[Path | None], photo: Photo, *, overwrite: bool) -> None:
    """Refuses files that cannot be written, or of which one would replace another."""
    given = [target for target in targets if target]
    for target in given:
        check_target(target, photo, overwrite=overwrite)
    real = [os.path.realpath(target) for target in given]  # which says nothing of a link that leads to itself
    twice = [target for target, place in zip(given, real, strict=True) if real.count(place) > 1]
    if twice:
        raise EditRealError(f"expected a file of its own for each picture, got {twice[0]} more than once; rename one")


def announce(backbone: Backbone) -> Backbone:
    """Says in one line which model is used and how to choose another."""
    typer.echo(
        f"model: {backbone.name}, {backbone.image_size}x{backbone.image_size}, on {backbone.device.type} in "
        f"{backbone.dtype_name} (another: --model FOLDER, FILE or HUB_ID)",
        err=True,
    )
    return backbone


def warn_of_words(backbone: Backbone, *captions: str) -> None:
    """Prints what the model cannot read of captions or was never shown, where no edit follows that says so."""
    for warning in warn_of_captions([backbone.parse(caption) for caption in captions], backbone.known_words):
        typer.echo(f"warning: {warning}", err=True)


def write(
    result: EditResult, out: Path, sheet: Path | None, mask_out: Path | None, *, overwrite: bool, recipe: bool = True
) -> None:
    """Writes an edit, its sheet and its mask."""
    result.save(out, overwrite=overwrite, recipe=recipe)
    if sheet:
        write_picture(result.sheet(), sheet, overwrite=overwrite)
    if mask_out:
        write_picture(result.mask, mask_out, overwrite=overwrite)


def report(result: EditResult, out: Path) -> None:
    """Prints the verdict on an edit."""
    typer.echo(f"wrote {out}: {format_metrics(result.metrics)}")
    if part := result.settings["region"]:
        typer.echo(f"edited in the part {' '.join(map(str, part))} of the photo, left top right bottom")
    if len(result.attempts) > 1:
        for number, attempt in enumerate(result.attempts, start=1):
            taken = ", which was taken" if attempt.metrics is result.metrics else ""
            changes = ", ".join(f"{name} {value}" for name, value in attempt.changes.items()) or "as asked"
            typer.echo(f"attempt {number}, {changes}{taken}: {format_metrics(attempt.metrics)}")
    for warning in result.warnings:
        typer.echo(f"warning: {warning}", err=True)


def report_mask(mask: Image.Image, plan: EditPlan, out: Path) -> None:
    """Prints how much of the photo the mask of an edit holds and what it can serve for, or why it is empty."""
    share = np.count_nonzero(np.asarray(mask)) / (mask.width * mask.height)
    way_back = (
        "; white that you add goes back to `edit` as --include-mask, what you paint out as a white --exclude-mask"
    )
    typer.echo(f"wrote {out}: {share:.1%} of the photo{way_back if share else ''}")
    if not share:
        typer.echo(f"warning: The mask is empty: {_why_empty(plan)}", err=True)


def _why_empty(plan: EditPlan) -> str:
    """Why an edit has no mask before it is made, and what an edit would do."""
    region, alignment = plan.region, plan.alignment
    if not plan.settings.reweight and (alignment.changes_nothing or alignment.only_moves):
        return "NEW_CAPTION asks for no change, and an edit would make none; swap words for others."
    if region.added_words and not region.is_held_back:
        return (
            "nothing that CAPTION names changes. An edit still finds its place while it is made, from the things that "
            "only NEW_CAPTION has."
        )
    if region.holds_back:
        return "what you protect or exclude is all that an edit would change; protect or exclude less."
    return "what changes is not seen in the photo; name --blend-words, or lower --mask-threshold."


def read_dtype(name: str | None) -> torch.dtype | None:
    """A number format by its name."""
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name is not None and name not in formats:
        raise EditRealError(f"expected a dtype among {', '.join(formats)}, got {name!r}")
    return formats[name] if name else None
