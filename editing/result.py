"""What an edit gives back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from backbones.photo import Photo
from backbones.saving import save_photo
from editing.pictures.overlay import overlay_heat, overlay_mask
from editing.pictures.sheet import draw_sheet
from editing.recipe import Recipe
from editing.verdict import format_metrics
from inversion.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class Attempt:
    """One way in which an edit was tried.

    Attributes:
        changes: Of the settings, beside those that the edit was asked for with.
        metrics: As in `EditResult`, with the trust.
        warnings: The same.
    """

    changes: dict[str, Any]
    metrics: dict[str, float]
    warnings: list[str]


@dataclass(frozen=True, eq=False, repr=False)
class EditResult:
    """An edited photo and how it came about.

    Attributes:
        image: The edit at the photo's own size; outside the mask its pixels are the photo's.
        mask: Where it differs, L, the photo's size; 0 is untouched.
        reconstruction: What the model makes of the photo without an edit, at its own size: replayed from the inversion,
            which is the autoencoder's round trip; with `exact=False` where guided sampling ends.
        drawn: What it makes with the edit, at the model's size, before anything is composited.
        heat_maps: Where the model sees each word of the caption, L, the photo's size.
        trajectory: The inversion, for further edits; of the part alone where a small thing was looked at closer.
        metrics: See `verdict.measure` and `signs.read_signs`; and `trust`, NaN where there is none.
        warnings: In plain words.
        trouble: What seems to have gone wrong, see `verdict.trouble_of`; None where nothing has.
        doubt: What another attempt is to mend: the trouble, or what it would be if more trust were asked (`SURE`).
        settings: All that the edit was made with.
        photo: The photo.
        recipe: All that is needed to make it again.
        attempts: All that were made, in order, where more than one was allowed; this is the best of them.
    """

    image: Image.Image
    mask: Image.Image
    reconstruction: Image.Image
    drawn: Image.Image
    heat_maps: dict[str, Image.Image]
    trajectory: Trajectory
    metrics: dict[str, float]
    warnings: list[str]
    trouble: str | None
    doubt: str | None
    settings: dict[str, Any]
    photo: Photo
    recipe: Recipe
    attempts: tuple[Attempt, ...] = ()

    def __repr__(self) -> str:
        return f"<EditResult {self.title}: {format_metrics(self.metrics)}>"

    @property
    def title(self) -> str:
        """Both captions."""
        return f"{self.trajectory.caption}  →  {self.settings['new_caption']}"

    @property
    def trust(self) -> float | None:
        """How likely the edit came out, in [0, 1]; None where no sign tells, or nothing was fitted to the model."""
        trust = self.metrics["trust"]
        return None if math.isnan(trust) else trust

    def save(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        recipe: bool = True,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        """Write the image, with the photo's EXIF and colour profile; see `saving.save_photo`.

        Args:
            path: Where to; the suffix chooses the format.
            overwrite: Whether an existing file may be replaced.
            recipe: Whether the file tells how it was made, for `read_recipe`: the captions, the settings, your masks
                and the model's name.
            tell: Takes a sentence on what the file does not keep; None warns of it.
        """
        note = self.recipe.shareable().to_json() if recipe else None
        save_photo(self.image, path, self.photo, overwrite=overwrite, note=note, tell=tell)

    def sheet(self) -> Image.Image:
        """One picture: photo, the photo as the model draws it, mask, edit, and the words' heat maps."""
        panels = [
            ("photo", self.photo.image),
            ("as the model draws it", self.unedited()),
            ("mask", overlay_mask(self.photo.image, self.mask)),
            ("edit", self.image),
            *((f"“{word}”", overlay_heat(self.photo.image, heat)) for word, heat in self.heat_maps.items()),
        ]
        return draw_sheet(panels, self.title, [format_metrics(self.metrics), *self.warnings])

    def unedited(self) -> Image.Image:
        """The photo with the part that the model saw as it draws that."""
        left, top, right, bottom = self.trajectory.geometry.box
        image = self.photo.image.copy()
        image.paste(self.reconstruction.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
        return image
