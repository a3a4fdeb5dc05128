"""The ways to change a photo that the quality benchmark sets side by side."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from time import perf_counter
from typing import Any

import numpy as np

from backbones.errors import EditRealError
from backbones.geometry import Geometry, plan_geometry
from backbones.photo import Photo
from benchmarks.edits import Edit
from benchmarks.memory import peak_memory
from benchmarks.published import as_published
from editing.editor import Editor
from editing.inpaint import InpaintResult, inpaint_photo
from editing.result import EditResult
from editing.settings import EditSettings, InpaintSettings, InversionSettings, split_settings
from inversion.trajectory import Trajectory

Masks = Sequence[np.ndarray | None]
"""One for each edit, `(H, W)` bool; None where our edit, whose masks they are, failed."""

OURS = "edit-real"
PUBLISHED_GUIDANCE = 7.5
PUBLISHED: dict[str, Any] = {
    "control": "refine",
    "cross_replace": 0.4,
    "self_replace": 0.6,
    "emphasis": 2.0,
    "emphasis_window": 0.4,
    "mask_rule": "published",
    "mask_spread": 0,
    "refinement": "plain",
    "blend_start": 0.2,
    "cell_share": 1.0,
    "mask_grows": True,
    "closer": 0.0,
    "exact": False,
    "attempts": 1,
}
"""Prompt-to-Prompt's settings in the published evaluation on PIE-Bench (Ju et al., ICLR 2024).

There a person names the words that are emphasised and that place the local blend; here the captions' difference does.
The composite, with what it keeps of the photo's texture, is ours in every row; the figures from before it are theirs.
So are the noise levels at which the photo's own maps are taken.
"""


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        inversion: Fields of `InversionSettings`.
        edit: Fields of `EditSettings`.
        published_null_text: Null-text exactly as published takes the place of the inversion's embeddings.
        inpaints: Nothing of the above: the part under the mask is drawn anew.
        mask: Of inpainting: `ours`, or `truth` for the edit's region.
    """

    inversion: dict[str, Any] = field(default_factory=dict)
    edit: dict[str, Any] = field(default_factory=dict)
    published_null_text: bool = False
    inpaints: bool = False
    mask: str = "ours"


def _published(inversion: str, **options: Any) -> Method:
    guided = {"inversion": inversion, "guidance_scale": PUBLISHED_GUIDANCE}
    return Method(guided, {**PUBLISHED, **options.pop("edit", {})}, **options)


METHODS: dict[str, Method] = {
    OURS: Method(),
    "edit-real, no local blend": Method(edit={"local_blend": False}),
    "DDIM + P2P": _published("direct"),
    "null-text + P2P, as published": _published("direct", published_null_text=True),
    "null-text searched + P2P": _published("null_text_search"),
    "negative-prompt + P2P": _published("negative_prompt"),
    "direct + P2P": _published("direct", edit={"exact": True}),
    "direct + mutual": _published("direct", edit={"exact": True, "control": "mutual"}),
    "direct + plug-and-play": _published("direct", edit={"exact": True, "control": "plug_and_play"}),
    "direct + plug-and-play, its negative prompt": _published(
        "direct", edit={"exact": True, "control": "plug_and_play", "negative_alpha": 1.0}
    ),
    "predictor-corrector + P2P": _published("predictor_corrector", edit={"exact": True}),
    "fixed point + P2P": _published("fixed_point", edit={"exact": True}),
    "proximal + P2P": _published("proximal"),
    "edit-friendly + P2P": Method(
        {"inversion": "edit_friendly", "guidance_scale": 9.0},
        {**PUBLISHED, "cross_replace": 0.6, "self_replace": 0.2, "exact": True},
    ),
    "EDICT + P2P": Method({"inversion": "edict"}, {**PUBLISHED, "exact": True}),
    "draft, no inversion": Method({"inversion": "none"}),
    "blended inpainting, our mask": Method(inpaints=True),
    "blended inpainting, true mask": Method(inpaints=True, mask="truth"),
}
"""`edit-real` comes first: its masks are what inpainting gets."""


def method_of(text: str) -> Method:
    """Our row with other settings, such as `guidance_scale=3 mask_rule=midrange`.

    Raises:
        EditRealError: A setting that is unknown or does not fit.
    """
    options = {name: _value(part) for name, _, part in (pair.partition("=") for pair in text.split())}
    if own := sorted({"reweight", "blend_words"} & set(options)):
        raise EditRealError(f"expected settings that hold for every edit, got {own[0]}, which each edit has of its own")
    split_settings(options)
    of_inversion = {field.name for field in fields(InversionSettings)}
    return Method(
        {name: value for name, value in options.items() if name in of_inversion},
        {name: value for name, value in options.items() if name not in of_inversion},
    )


def _value(text: str) -> Any:
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method made of one edit.

    Attributes:
        image: The photo's size, `(H, W, 3)` uint8.
        mask: Where it was composited, `(H, W)` bool.
        drawn: What the model drew, before compositing, `(h, w, 3)` uint8 at the model's size.
        geometry: Of what it saw of the photo.
        seconds: That it took; what the edits of one photo share is divided among them.
        memory: The peak while it ran, in MiB, see `peak_memory`; NaN where it cannot be told.
        signs: What an edit says of itself, its metrics; nothing of inpainting.
    """

    image: np.ndarray
    mask: np.ndarray
    drawn: np.ndarray
    geometry: Geometry
    seconds: float
    memory: float
    signs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Inverted:
    """A trajectory and the seconds that it took."""

    trajectory: Trajectory
    seconds: float


def run_method(
    method: Method,
    editor: Editor,
    photo: Photo,
    edits: Sequence[Edit],
    masks: Masks,
    *,
    steps: int,
    inversions: dict[str, Inverted],
) -> list[Outcome]:
    """All edits of one photo that start from the same caption.

    Args:
        method: One of `METHODS`, or any other.
        editor: With the model.
        photo: Of the edits.
        edits: One or more.
        masks: What inpainting under our mask is given; unused otherwise.
        steps: Denoising steps, of inversion, edit and inpainting.
        inversions: Those of the photo and caption that other methods have made; gets this one's.

    Raises:
        EditRealError: One of the edits cannot be done.
    """
    results: Sequence[EditResult | InpaintResult]
    whole = plan_geometry(photo.size, editor.backbone.image_size, editor.backbone.size_multiple)
    of_inversion = 0.0
    with peak_memory(editor.backbone.device) as peak:
        start = perf_counter()
        if method.inpaints:
            chosen = masks if method.mask == "ours" else [edit.region for edit in edits]
            results = [_inpaint(editor, photo, edit, mask, steps) for edit, mask in zip(edits, chosen, strict=True)]
        else:
            key = repr((method.inversion, method.published_null_text))
            if key not in inversions:
                trajectory = _invert(method, editor, photo, edits[0].caption, steps)
                inversions[key] = Inverted(trajectory, perf_counter() - start)
                start = perf_counter()
            of_inversion = inversions[key].seconds
            choices, captions = [_settings(method, edit) for edit in edits], [edit.new_caption for edit in edits]
            results = editor.edit_many(inversions[key].trajectory, captions, choices, photo=photo)
        seconds = (of_inversion + perf_counter() - start) / len(edits)
    return [
        Outcome(
            image=np.asarray(result.image.convert("RGB")),
            mask=np.asarray(result.mask) > 0,
            drawn=np.asarray(result.drawn),
            geometry=result.trajectory.geometry if isinstance(result, EditResult) else whole,
            seconds=seconds,
            memory=peak.mib,
            signs=result.metrics if isinstance(result, EditResult) else {},
        )
        for result in results
    ]


def _inpaint(editor: Editor, photo: Photo, edit: Edit, mask: np.ndarray | None, steps: int) -> InpaintResult:
    if mask is None:
        raise EditRealError("expected the mask of our edit, got none, since that failed")
    return inpaint_photo(photo, edit.new_caption, mask, InpaintSettings(steps=steps), editor.backbone)


def _invert(method: Method, editor: Editor, photo: Photo, caption: str, steps: int) -> Trajectory:
    trajectory = editor.invert(photo, caption, InversionSettings(**{"steps": steps, **method.inversion}))
    return as_published(editor.backbone, trajectory) if method.published_null_text else trajectory


def _settings(method: Method, edit: Edit) -> EditSettings:
    return EditSettings(reweight=edit.reweight, blend_words=edit.blend_words, **method.edit)
