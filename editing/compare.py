"""An edit beside what mask-based inpainting makes of the same photo and the same words."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image

from backbones.backbone import Backbone
from backbones.geometry import Box, Geometry, plan_geometry
from backbones.loading import load_backbone
from backbones.photo import Photo, PhotoSource, open_photo
from backbones.pixels import to_pixels, to_unit, with_alpha
from backbones.saving import check_folder, make_folder, save_photo, write_picture, written_whole
from editing.blended import latent_mask
from editing.editor import Editor
from editing.inpaint import INPAINTINGS, InpaintResult, check_mask_in_region, inpaint_photo
from editing.likeness import edge_correlation, ssim
from editing.pictures.overlay import overlay_mask
from editing.pictures.page import comparison_page
from editing.pictures.sheet import draw_sheet
from editing.result import EditResult
from editing.settings import EditSettings, InpaintSettings, InversionSettings, split_settings
from editing.verdict import measure_change, psnr
from inversion.progress import Callback, Progress
from masks.user_mask import MaskSource, read_mask

OURS, OUR_MASK, YOUR_MASK = "edit-real", "our mask", "your mask"

MEASURES = {
    "mask_share": ("mask (% of the photo)", ".1f"),
    "change_inside": ("change inside (%)", ".1f"),
    "edge_correlation": ("edges kept inside", ".2f"),
    "outside_ssim": ("SSIM outside", ".3f"),
    "outside_psnr": ("PSNR outside (dB)", ".1f"),
}
"""The measures of an entry, with their headings and formats."""


@dataclass(frozen=True, eq=False)
class ComparisonEntry:
    """One way to change the photo, and what came of it.

    Attributes:
        name: Of the method and, where it was given one, of the mask.
        image: The result, of the photo's size.
        mask: Where it differs from the photo, L.
        seconds: That it took, loading the model left out; an edit's hold the inversion.
        measures: `mask_share` and `change_inside` in per cent; `edge_correlation` between photo and result inside the
            mask, see `likeness.edge_correlation`; `outside_ssim` and `outside_psnr` (dB) of what the model drew
            outside the mask before compositing, against the photo at the model's size, NaN where a method draws
            nothing there. The autoencoder's own loss is in both, and what the latents' cells on the mask's border
            spill beyond it.
    """

    name: str
    image: Image.Image
    mask: Image.Image
    seconds: float
    measures: dict[str, float]

    @property
    def file_name(self) -> str:
        """Of its picture."""
        return self.name.lower().replace(",", "").replace(" ", "-") + ".png"

    def row(self) -> dict[str, str]:
        """Its figures as text, by heading."""
        figures = {heading: _figure(self.measures[key], form) for key, (heading, form) in MEASURES.items()}
        return {"method": self.name, **figures, "seconds": _figure(self.seconds, ".1f")}


@dataclass(frozen=True, eq=False)
class Comparison:
    """An edit and its alternatives.

    Attributes:
        edit: Ours, with all that it was made with.
        entries: Ours first.
        masks: The masks that inpainting was given, by name, L.
        warnings: In plain words.
        seed: Of the noise that inpainting started from.
    """

    edit: EditResult
    entries: tuple[ComparisonEntry, ...]
    masks: dict[str, Image.Image]
    warnings: tuple[str, ...]
    seed: int

    @property
    def photo(self) -> Photo:
        return self.edit.photo

    @property
    def title(self) -> str:
        return self.edit.title

    def sheet(self) -> Image.Image:
        """One picture: the photo, the masks and every result."""
        photo = self.photo.image
        panels = [
            ("photo", photo),
            *((name, overlay_mask(photo, mask)) for name, mask in self.masks.items()),
            *((entry.name, entry.image) for entry in self.entries),
        ]
        rows = [entry.row() for entry in self.entries]
        notes = [" · ".join([row.pop("method"), *(f"{name} {value}" for name, value in row.items())]) for row in rows]
        return draw_sheet(panels, self.title, [*notes, *self.warnings])

    def table(self) -> str:
        """The figures as a Markdown table."""
        rows = [entry.row() for entry in self.entries]
        lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def csv(self) -> str:
        """The figures in full as comma-separated values; a cell is empty where there is no figure."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["method", *MEASURES, "seconds", "seed", "picture"])
        for entry in self.entries:
            figures = [*(entry.measures[key] for key in MEASURES), entry.seconds]
            cells = ["" if math.isnan(figure) else f"{figure:.6g}" for figure in figures]
            writer.writerow([entry.name, *cells, self.seed, entry.file_name])
        return text.getvalue()

    def page(self) -> str:
        """A web page with a slider between before and after, complete in itself."""
        results = [(entry.name, entry.image) for entry in self.entries]
        rows = [entry.row() for entry in self.entries]
        return comparison_page(self.title, self.photo.image, results, rows, self.warnings)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write `index.html`, `comparison.csv`, `sheet.png`, the photo, the masks and every result.

        Args:
            folder: Is made where it does not exist.
            overwrite: Whether it may hold files already; of those, the ones of the same names are replaced.

        Raises:
            EditRealError: The folder holds files, or it cannot be written.
        """
        target = Path(folder)
        check_folder(target, self.photo, overwrite=overwrite)
        make_folder(target)
        images = {"photo.png": with_alpha(self.photo.image, self.photo)}
        for name, image in (images | {entry.file_name: entry.image for entry in self.entries}).items():
            save_photo(image, target / name, self.photo, overwrite=overwrite)
        pictures = {name.replace(" ", "-"): mask for name, mask in self.masks.items()} | {"sheet": self.sheet()}
        for name, image in pictures.items():
            write_picture(image, target / f"{name}.png", overwrite=overwrite)
        for name, text in (("comparison.csv", self.csv()), ("index.html", self.page())):
            with written_whole(target / name) as draft:
                draft.write_text(text, encoding="utf-8")


def compare_with_inpainting(
    img: PhotoSource,
    caption: str,
    new_caption: str,
    *,
    mask: MaskSource | None = None,
    model: str | Path | Backbone = "bundled",
    inpaint_model: str | Path | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    region: tuple[int, int, int, int] | None = None,
    progress: bool | Callback | Progress = False,
    **settings: Any,
) -> Comparison:
    """Edit a photo, and inpaint it with the same words under the edit's own mask and, where one is given, the user's.

    Args:
        img: A path, a PIL image or an array `(H, W[, channels])`. It is never modified.
        caption: What the photo shows.
        new_caption: What it should show.
        mask: A picture of the photo's size: white is inpainted, a second time.
        model: Of the edit and of blended inpainting: `bundled`, a folder, a hub id, or a loaded one.
        inpaint_model: A folder or hub id of a model trained to inpaint, which is compared as well.
        seed: Of the noise that inpainting starts from.
        device: Where to compute; the best there is by default.
        dtype: Of the networks.
        region: The part (left, top, right, bottom) of the upright photo to work on; all of it by default.
        progress: True shows bars in a terminal; a function is called with `(step, latents)` after every step.
        **settings: Any field of `InversionSettings` or `EditSettings`; `steps`, `guidance_scale` and `feather` are
            inpainting's too.

    Raises:
        EditRealError: Anything that the user can put right, in one sentence.

    Example:
        >>> comparison = compare_with_inpainting("rose.jpg", "a photo of a red rose", "a photo of a white rose")
        >>> comparison.save("comparison")
    """
    inversion, edit_settings = split_settings(settings)
    choices = _inpaint_settings(inversion, edit_settings, seed)
    photo = open_photo(img)
    given = None if mask is None else read_mask(mask, photo.size)
    if given is not None:
        check_mask_in_region(given, photo.size, region)
    backbone = model if isinstance(model, Backbone) else load_backbone(model, device, dtype)
    models: dict[str, Any] = {}
    for name, inpainting in INPAINTINGS.items():
        if inpainting.load in (None, load_backbone):
            models[name] = backbone if inpainting.load else None
        elif inpaint_model is not None:
            models[name] = inpainting.load(inpaint_model, device, dtype)
    editor = Editor(backbone, progress=progress)
    editor.check(caption, new_caption, photo.size, edit_settings)

    start = perf_counter()
    trajectory = editor.invert(photo, caption, inversion, region=region)
    edit = editor.edit(trajectory, new_caption, edit_settings, photo=photo)
    entries = [_entry(OURS, edit, edit, edit.trajectory.geometry, perf_counter() - start)]

    masks = {OUR_MASK: np.asarray(edit.mask) > 0} | ({} if given is None else {YOUR_MASK: given})
    masks = {name: chosen for name, chosen in masks.items() if chosen.any()}
    for (name, chosen), (method, loaded) in product(masks.items(), models.items()):
        start, part = perf_counter(), _part_for(chosen, edit, region)
        result = inpaint_photo(photo, new_caption, chosen, choices[method], loaded, region=part, progress=progress)
        seconds = perf_counter() - start
        geometry = plan_geometry(photo.size, backbone.image_size, backbone.size_multiple, part)
        entries.append(_entry(f"{INPAINTINGS[method].label}, {name}", result, edit, geometry, seconds))
    pictures = {name: Image.fromarray(chosen.astype(np.uint8) * 255) for name, chosen in masks.items()}
    full = [
        f"{name} is all of the photo, so that there is nothing to fill from, and Telea leaves the photo as it was"
        for name, chosen in masks.items()
        if chosen.all()
    ]
    return Comparison(edit, tuple(entries), pictures, (*edit.warnings, *full), seed)


def _inpaint_settings(inversion: InversionSettings, edit: EditSettings, seed: int) -> dict[str, InpaintSettings]:
    """Settings of every method, alike the edit's in what they share."""
    shared: dict[str, Any] = {
        "steps": inversion.steps,
        "guidance_scale": inversion.guidance_scale,
        "feather": edit.feather,
    }
    return {method: InpaintSettings(method=method, seed=seed, **shared) for method in INPAINTINGS}


def _part_for(mask: np.ndarray, edit: EditResult, region: Box | None) -> Box | None:
    """What inpainting sees: the part that the edit saw, unless the mask reaches beyond it."""
    geometry = edit.trajectory.geometry
    return geometry.box if geometry.crop(mask).sum() == mask.sum() else region


def _entry(
    name: str, result: EditResult | InpaintResult, edit: EditResult, geometry: Geometry, seconds: float
) -> ComparisonEntry:
    """Measures one result; `geometry` tells what the model saw of the photo."""
    photo, after, mask = (np.asarray(image) for image in (edit.photo.image, result.image.convert("RGB"), result.mask))
    similarity, ratio = float("nan"), float("nan")
    # What is drawn at the photo's size is drawn inside the mask alone.
    if isinstance(result, EditResult) or result.settings["method"] == "blended":
        seen, drawn = to_unit(to_pixels(edit.photo, geometry)[0]), np.asarray(result.drawn) / 255
        outside = ~latent_mask(geometry.crop(mask) > 0, *geometry.working_size)
        similarity, ratio = ssim(drawn, seen, outside), psnr(drawn, seen, outside)
    measures = {
        **measure_change(photo, after, mask),
        "edge_correlation": edge_correlation(after, photo, mask > 0),
        "outside_ssim": similarity,
        "outside_psnr": ratio,
    }
    return ComparisonEntry(name, result.image, result.mask, seconds, measures)


def _figure(value: float, form: str) -> str:
    return "–" if math.isnan(value) else "∞" if math.isinf(value) else format(value, form)
