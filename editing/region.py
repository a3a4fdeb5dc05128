"""Where one edit takes place: the words' maps, joined with what the user says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from backbones.errors import EditRealError
from backbones.geometry import Geometry
from backbones.text import Caption, Word
from editing.align import Alignment, edited_words, reweighted_words
from editing.settings import EditSettings
from masks.aggregate import AttentionMaps, word_heat
from masks.binarize import binarize
from masks.refine import refine_mask, shrink
from masks.user_mask import read_mask, shares


@dataclass(frozen=True, eq=False)
class EditRegion:
    """The words that place one edit, and the user's masks.

    Attributes:
        source_words: Of the old caption.
        target_words: Of the new one.
        source_protected: Words of the old caption that must not change.
        target_protected: Words of the new one that must not.
        include: `(H, W)` bool at the photo's size, or None.
        exclude: The same.
        settings: Of the edit.
    """

    source_words: tuple[Word, ...]
    target_words: tuple[Word, ...]
    source_protected: tuple[Word, ...]
    target_protected: tuple[Word, ...]
    include: np.ndarray | None
    exclude: np.ndarray | None
    settings: EditSettings

    def soft_mask(self, source: AttentionMaps, target: AttentionMaps | None, geometry: Geometry) -> torch.Tensor:
        """The mask `(h, w)` in [0, 1], boundary at 0.5, at the maps' resolution.

        Union of where the source's words were and the target's are (all of the frame without a local blend), minus
        the protected words; then the user's masks, which have the last word.

        Args:
            source: Maps of the old caption over the photo.
            target: Maps of the new caption over the edit so far; None before there are any.
            geometry: Of the photo.
        """
        soft = self._words(source, self.source_words)
        protected = self._words(source, self.source_protected)
        if target is not None:
            soft = torch.maximum(soft, self._words(target, self.target_words))
            protected = torch.maximum(protected, self._words(target, self.target_protected))
        if not self.settings.local_blend:
            soft = torch.ones_like(soft)
        soft = torch.minimum(soft, 1 - protected)
        crop, size = geometry.crop, (source.height, source.width)
        if self.include is not None:
            soft = torch.maximum(soft, torch.from_numpy(shares(crop(self.include), *size)).to(soft))
        if self.exclude is not None:
            soft = torch.minimum(soft, 1 - torch.from_numpy(shares(crop(self.exclude), *size)).to(soft))
        return soft

    def fine_mask(self, soft: torch.Tensor, part: np.ndarray, geometry: Geometry) -> np.ndarray:
        """The soft mask along the edges of the photo's part `(H, W, 3)`, with the user's own, `(H, W)` bool."""
        fine = refine_mask(soft.cpu().numpy(), part, self.settings.refinement)
        if self.include is not None:
            fine |= geometry.crop(self.include)
        if self.exclude is not None:
            fine &= ~geometry.crop(self.exclude)
        return fine

    def covered_cells(
        self, source: AttentionMaps, part: np.ndarray, geometry: Geometry, height: int, width: int
    ) -> torch.Tensor | None:
        """The latent cells that the source's mask along the photo's edges fills by more than `cell_share`.

        The maps are coarser than the latents, and their masks leave out cells that an object's rim only touches; there
        the old rim would stay round the new object.

        Args:
            source: Maps of the old caption over the photo.
            part: What the model sees of the photo, `(H, W, 3)` uint8.
            geometry: Of the photo.
            height: Of the latents.
            width: Of the latents.

        Returns:
            `(height, width)` bool, or None where the settings leave the cells to the maps.
        """
        if not self.settings.local_blend or self.settings.cell_share == 1:
            return None
        small = shrink(part)
        fine = refine_mask(self.soft_mask(source, None, geometry).cpu().numpy(), small, self.settings.refinement)
        filled = shares(fine, height, width)
        return torch.from_numpy(filled > self.settings.cell_share).to(source.cross.device)

    def _words(self, maps: AttentionMaps, words: Sequence[Word]) -> torch.Tensor:
        positions = [position for word in words for position in word.positions]
        if not positions:
            return torch.zeros(maps.height, maps.width, device=maps.cross.device)
        heat = word_heat(maps, positions, spread=self.settings.mask_spread)
        return binarize(heat, self.settings.mask_rule, self.settings.mask_threshold)


def find_region(alignment: Alignment, settings: EditSettings, photo_size: tuple[int, int]) -> EditRegion:
    """The region of an edit: the words that the settings name, else those that the captions' difference gives.

    Raises:
        EditRealError: A word that neither caption holds, or a mask that cannot be used.
    """
    source, target = alignment.source, alignment.target
    if settings.blend_words is None:
        source_words, target_words = edited_words(alignment, reweighted_words(alignment, settings.reweight))
    else:
        source_words, target_words = _find(settings.blend_words, source, target)
    source_protected, target_protected = _find(settings.protect_words, source, target)
    include, exclude = (
        None if mask is None else read_mask(mask, photo_size, what)
        for mask, what in ((settings.include_mask, "include_mask"), (settings.exclude_mask, "exclude_mask"))
    )
    return EditRegion(
        source_words=tuple(source_words),
        target_words=tuple(target_words),
        source_protected=tuple(source_protected),
        target_protected=tuple(target_protected),
        include=include,
        exclude=exclude,
        settings=settings,
    )


def _find(names: Sequence[str], source: Caption, target: Caption) -> tuple[list[Word], list[Word]]:
    """The named words of each caption; one of the two must hold each of them."""
    found: tuple[list[Word], list[Word]] = ([], [])
    for name in names:
        errors = []
        for words, caption in zip(found, (source, target), strict=True):
            try:
                words += caption.find(name)
            except EditRealError as error:
                errors.append(error)
        if len(errors) == 2:
            raise EditRealError(f"expected a word of {source.text!r} or {target.text!r}, got {name!r}") from errors[0]
    return found
