"""Where one edit takes place in one photo: the words' maps, joined with what the user says, at every resolution."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from backbones.text import Word
from backbones.view import View
from editing.blended import latent_mask
from editing.plan import EditPlan
from editing.window import steps_in
from masks.aggregate import AttentionMaps, word_heat
from masks.binarize import binarize
from masks.local_blend import blend_latents
from masks.refine import feather_inside, refine_mask, shrink, soften
from masks.user_mask import shares

OUTLINES_KEPT = 16
Outlines = dict[tuple[str, bytes], np.ndarray]
"""The last few masks along the edges of one photo, by the refinement and the soft mask that they were made with."""


class Place:
    """The place of a planned edit, with all that does not change while it is sampled worked out once.

    The soft masks are `(h, w)` in [0, 1] with the boundary at 0.5, at the maps' resolution.

    Attributes:
        cells: The latent cells that are edited whatever the maps say, `(h, w)` bool, or None.
        follows: Whether it depends on where words are seen in the edit.
    """

    def __init__(self, plan: EditPlan, maps: AttentionMaps, view: View, outlines: Outlines | None = None) -> None:
        """`maps` are those of the old caption over the photo; `outlines` are shared with further places in it."""
        self._outlines = {} if outlines is None else outlines
        self._region, self._settings, self._spread, self._view = plan.region, plan.settings, plan.mask_spread, view
        self._source = self._words(maps, plan.region.source_words)
        self._protected = self._words(maps, plan.region.source_protected)
        region = plan.region
        self._target_words = region.target_words if plan.settings.mask_grows else region.added_words
        self.follows = bool(self._target_words or region.target_protected)
        self._include, self._exclude = (
            None if mask is None else self._shares(mask) for mask in (plan.region.include, plan.region.exclude)
        )
        self._blends = steps_in((plan.settings.blend_start, 1.0), plan.sampled).tolist()
        self.cells = self._covered_cells()

    def soft_mask(self, target: AttentionMaps | None = None) -> torch.Tensor:
        """The mask: union of where the source's words were and the target's are that count, minus the protected words.

        All of the frame without a local blend; then the user's masks, which have the last word.

        Args:
            target: Maps of the new caption over the edit so far; None before there are any, or where none are followed.
        """
        soft, protected = self._source, self._protected
        if target is not None:
            soft = torch.maximum(soft, self._words(target, self._target_words))
            protected = torch.maximum(protected, self._words(target, self._region.target_protected))
        if not self._settings.local_blend:
            soft = torch.ones_like(soft)
        soft = torch.minimum(soft, 1 - protected)
        if self._include is not None:
            soft = torch.maximum(soft, self._include)
        return self._allowed(soft)

    def blend(
        self, latents: torch.Tensor, source: torch.Tensor, target: AttentionMaps | None, step: int
    ) -> torch.Tensor:
        """The edited latents `(1, C, h, w)` with the source's outside the mask, once that has begun."""
        if not self._settings.local_blend or not self._blends[step]:
            return latents
        return blend_latents(latents, source, self.soft_mask(target), self.cells)

    def fine_mask(self, soft: torch.Tensor) -> np.ndarray:
        """A soft mask along the photo's edges, `(H, W)` uint8 at the photo's size: each pixel's share.

        What the user excludes is 0, and so is what the model does not see; to both it fades. What the user includes is
        255, but where it fades.
        """
        geometry, region = self._view.geometry, self._region
        part = refine_mask(soft.cpu().numpy(), self._view.part, self._settings.refinement)
        allowed = np.ones_like(part)
        if region.include is not None:
            part |= geometry.crop(region.include)
        if region.exclude is not None:
            allowed &= ~geometry.crop(region.exclude)
        shares = soften(part & allowed, self._view.part, self._settings.feather)
        if region.include is not None:  # however small, of which a matte leaves nothing
            shares[geometry.crop(region.include) & allowed] = 255
        everywhere = geometry.paste(allowed, np.zeros(geometry.photo_size[::-1], bool))
        limit = feather_inside(everywhere, self._settings.feather * max(part.shape))
        return np.minimum(geometry.paste(shares, np.zeros_like(limit)), limit)

    def outline(self) -> np.ndarray:
        """The source's mask along the edges of the photo made small, `(h, w)` bool; without what the user includes."""
        soft = self._allowed(torch.minimum(self._source, 1 - self._protected)).cpu().numpy()
        key = (self._settings.refinement, soft.tobytes())
        outline = self._outlines.pop(key, None)
        if outline is None:
            outline = refine_mask(soft, shrink(self._view.part), self._settings.refinement)
        self._outlines[key] = outline  # the last
        for older in list(self._outlines)[:-OUTLINES_KEPT]:
            self._outlines.pop(older, None)
        return outline

    def working_mask(self, soft: torch.Tensor, working: np.ndarray) -> np.ndarray:
        """Where the mask or the blended cells are, `(h, w)` bool, for the model's pixels `(h, w, 3)` in [0, 1]."""
        mask = refine_mask(soft.cpu().numpy(), np.rint(working * 255).astype(np.uint8), "plain")
        if self.cells is None:
            return mask
        return mask | (cv2.resize(self.cells.cpu().numpy().astype(np.uint8), mask.shape[::-1]) > 0)

    def _covered_cells(self) -> torch.Tensor | None:
        """The latent cells that the source's mask along the photo's edges fills by more than `cell_share`.

        The maps are coarser than the latents, and their masks leave out cells that an object's rim only touches; there
        the old rim would stay round the new object.

        Returns:
            `(h, w)` bool, or None where the settings leave the cells to the maps. What the user includes is among them,
            however small.
        """
        if not self._settings.local_blend:
            return None
        included = self._region.include
        touched = (
            None if included is None else self._cells(latent_mask(self._view.geometry.crop(included), *self._grid))
        )
        if self._settings.cell_share == 1:
            return touched
        covered = self._cells(shares(self.outline(), *self._grid) > self._settings.cell_share)
        return covered if touched is None else covered | touched

    def _allowed(self, soft: torch.Tensor) -> torch.Tensor:
        """A soft mask without what the user excludes."""
        return soft if self._exclude is None else torch.minimum(soft, 1 - self._exclude)

    @property
    def _grid(self) -> tuple[int, int]:
        """Height and width of the latents."""
        height, width = self._view.latents.shape[-2:]
        return height, width

    def _cells(self, mask: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(mask).to(self._source.device)

    def _shares(self, mask: np.ndarray) -> torch.Tensor:
        """The share of each of the maps' cells that a mask of the photo's size fills."""
        filled = shares(self._view.geometry.crop(mask), *self._source.shape)
        return torch.from_numpy(filled).to(self._source)

    def _words(self, maps: AttentionMaps, words: Sequence[Word]) -> torch.Tensor:
        positions = [position for word in words for position in word.positions]
        if not positions:
            return torch.zeros(maps.height, maps.width, device=maps.cross.device)
        heat = word_heat(maps, positions, spread=self._spread)
        return binarize(heat, self._settings.mask_rule, self._settings.mask_threshold)
