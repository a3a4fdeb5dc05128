"""Edit a photo by its caption: photo, plan, view, inversion, source, edit, result."""

from __future__ import annotations

from typing import Any

import torch

from backbones.loading import ModelSource, load_backbone
from backbones.photo import PhotoSource, open_photo
from backbones.view import look_at
from editing.checks import check_request
from editing.closer import look_closer, look_from_afar
from editing.make import make_edits
from editing.plan import plan_edit
from editing.result import EditResult
from editing.settings import split_settings
from inversion.invert import invert
from inversion.progress import Callback, Progress, progress_of


def edit_real(
    img: PhotoSource,
    caption: str,
    new_caption: str,
    *,
    model: ModelSource = "bundled",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    region: tuple[int, int, int, int] | None = None,
    progress: bool | Callback | Progress = False,
    **settings: Any,
) -> EditResult:
    """Edit a photo by changing its caption; what the words do not change stays exactly as it was.

    Args:
        img: A path, a PIL image, an array `(H, W[, channels])`, or what `open_photo` gives. It is never modified.
        caption: What the photo shows.
        new_caption: What it should show.
        model: `bundled`, a folder in diffusers' layout, a `.safetensors` file, a Hugging Face hub id, or a pipeline of
            diffusers in memory; see `load_backbone`.
        device: Where to compute; the best there is by default.
        dtype: Of the network.
        region: The part (left, top, right, bottom) of the upright photo to work on; all of it by default.
        progress: True shows bars in a terminal; a function is called with `(step, latents)` after every step.
        **settings: Any field of `InversionSettings` or `EditSettings`; docs/reference.md lists them.

    Raises:
        EditRealError: Anything that the user can put right, in one sentence.

    Example:
        >>> result = edit_real("rose.jpg", "a photo of a red rose", "a photo of a white rose")
        >>> result.save("white rose.png")
    """
    inversion, choice = split_settings(settings)
    told = progress_of(progress)

    photo = open_photo(img)  # 1. before a model is loaded, and with it all that can be refused without one
    check_request(photo, region=region, settings=choice, caption=caption, new_caption=new_caption)
    backbone = load_backbone(model, device, dtype)
    plan = plan_edit(backbone, caption, new_caption, photo.size, choice, inversion.sampled)  # 2. what is asked
    view = look_at(backbone, photo, region)  # 3. geometry, pixels, latents
    trajectory = invert(backbone, view, caption, inversion, told)  # 4. to noise, and exactly back
    # 5. where the words are, what is to stay; 3 to 5 again for the part round something small
    look, [(part, _)] = look_from_afar(backbone, trajectory, view, [plan], progress=told)
    look = look_closer(backbone, look, [plan], part, progress=told)
    # 6. blended at every step, and 7. mask, composite, measures; again where there is doubt, as `attempts` allows
    return make_edits(backbone, look, [plan], told)[0]
