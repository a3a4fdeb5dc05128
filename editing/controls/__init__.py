"""What happens to attention while an edit is sampled: one file each, by the names of the setting `control`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from backbones.attention import Control, Site
from editing.controls.mutual import mutual
from editing.controls.plug_and_play import plug_and_play
from editing.controls.prompt_to_prompt import refine, replace

if TYPE_CHECKING:
    from editing.plan import EditPlan

MakeControl = Callable[[Sequence["EditPlan"], Sequence[Site], torch.device], Control]
"""`(plans, sites, device) -> Control` for edits of one source in one batch, whose rows lie as `rows.Rows` says.

`sites` are all that the model has. It is also called when an edit is planned, with those for latents of the model's own
size, and raises `EditRealError` where the captions, the settings or the model do not suit it. The source's row stays as
it is under every control, and where one takes part depends on the step alone: so the source can be looked at once.
"""

CONTROLS: dict[str, MakeControl] = {
    "replace": replace,
    "refine": refine,
    "mutual": mutual,
    "plug_and_play": plug_and_play,
}

PROMPT_TO_PROMPT = ("replace", "refine")
"""Those under which words have weights, and attention windows."""
