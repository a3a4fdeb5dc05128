"""What is decided of an edit before the model is asked."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import CLIPTokenizer

from backbones.text import parse_caption
from editing.align import Alignment, align_captions
from editing.controls import EditPlan, plan_edit
from editing.region import EditRegion, find_region
from editing.settings import EditSettings


@dataclass(frozen=True, eq=False)
class PlannedEdit:
    """One new caption of a photo.

    Attributes:
        alignment: Which words answer to which.
        region: Where the edit takes place.
        plan: When what of the attention is carried over.
    """

    alignment: Alignment
    region: EditRegion
    plan: EditPlan

    @classmethod
    def of(
        cls,
        tokenizer: CLIPTokenizer,
        caption: str,
        new_caption: str,
        settings: EditSettings,
        photo_size: tuple[int, int],
        steps: int,
    ) -> PlannedEdit:
        """From captions and settings.

        Raises:
            EditRealError: A word that no caption holds, or a mask that cannot be used.
        """
        alignment = align_captions(parse_caption(tokenizer, caption), parse_caption(tokenizer, new_caption))
        plan = plan_edit(
            alignment,
            steps,
            cross_replace=settings.cross_replace,
            self_replace=settings.self_replace,
            weights=settings.reweight,
            carry_swaps=settings.control != "refine",
            emphasis=settings.emphasis,
        )
        return cls(alignment, find_region(alignment, settings, photo_size), plan)
