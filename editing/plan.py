"""What is asked of an edit, decided and refused before any time is spent."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from backbones.backbone import Backbone
from editing.align import Alignment, align_captions, only_colors_change, reweighted_words
from editing.captions import check_caption
from editing.controls import CONTROLS
from editing.kind import fill_in, kind_of, policy_of
from editing.propose import COLOR_WORDS
from editing.region import EditRegion, find_region
from editing.settings import EditSettings
from editing.trust import TrustModel


@dataclass(frozen=True, eq=False)
class EditPlan:
    """One new caption of a photo.

    Attributes:
        alignment: Which words answer to which.
        region: The words and masks that say where the edit takes place.
        settings: How it is made, with those that its kind chooses.
        sampled: The steps that are, up to the schedule's last.
        kind: What the edit is about, a key of `kind.KINDS`.
        mask_spread: How often heat is carried along self-attention: the settings', or what suits the model.
        asked: The settings as they were handed over.
        colors: Words for colours that the model lists.
    """

    alignment: Alignment
    region: EditRegion
    settings: EditSettings
    sampled: range
    kind: str
    mask_spread: int
    asked: EditSettings
    colors: frozenset[str] = frozenset()

    @property
    def texture(self) -> float:
        """Least share of the photo's texture that stays: a colour leaves it as it was, a new thing has its own."""
        if self.settings.texture is not None:
            return self.settings.texture
        if self.asked.kind in ("colour", "thing"):
            return float(self.asked.kind == "colour")
        reweighted = reweighted_words(self.alignment, self.settings.reweight)
        return float(only_colors_change(self.alignment, reweighted, self.colors))


def plan_edit(
    backbone: Backbone,
    caption: str,
    new_caption: str,
    photo_size: tuple[int, int],
    settings: EditSettings,
    sampled: range,
) -> EditPlan:
    """Reads captions, words and masks.

    Args:
        backbone: The model, whose tokens the words fall on.
        caption: What the photo shows.
        new_caption: What it should show.
        photo_size: `(width, height)`, which masks must have.
        settings: How the edit is made.
        sampled: The steps that are, see `Trajectory.sampled`.

    Raises:
        EditRealError: An empty caption, a word that no caption holds, a mask that cannot be used, settings or a model
            that do not suit the control, or a model whose folder is damaged.
    """
    check_caption(caption, "caption")
    check_caption(new_caption, "new caption")
    alignment = align_captions(backbone.parse(caption), backbone.parse(new_caption))
    colors = frozenset(backbone.words.get(COLOR_WORDS, ()))
    kind = settings.kind or kind_of(alignment, weighed=bool(settings.reweight), colors=colors)
    chosen = fill_in(settings, policy_of(kind, settings))
    spread = backbone.mask_spread if chosen.mask_spread is None else chosen.mask_spread
    region = find_region(alignment, chosen, photo_size)
    plan = EditPlan(alignment, region, chosen, sampled, kind, spread, asked=settings, colors=colors)
    TrustModel.of(backbone)  # read to see whether it can be
    side = backbone.image_size // backbone.vae_factor
    CONTROLS[settings.control]([plan], backbone.sites(side, side), torch.device("cpu"))  # made to see whether it can be
    return plan
