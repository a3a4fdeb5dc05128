"""What a user can set, checked once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from backbones.errors import EditRealError
from editing.controls import Window, window_bounds
from inversion.invert import METHODS, NULL_TEXT_STARTS
from masks.binarize import RULES
from masks.refine import REFINEMENTS
from masks.user_mask import MaskSource

CONTROLS = ("auto", "replace", "refine")
INPAINTINGS = ("blended", "telea", "pipeline")


@dataclass(frozen=True)
class InversionSettings:
    """How a photo is brought to noise.

    Attributes:
        inversion: `null_text`, `negative_prompt`, `direct` or `ddim`.
        steps: Denoising steps; inversion and edit take the same.
        guidance_scale: How strongly the edit follows the new caption; 1 is not at all beyond the model's own way, None
            what suits the model.
        max_inner_steps: Null-text updates at each step, 10 as published. Fewer edit more strongly and take less time;
            how closely the photo is followed does not depend on them unless `exact` is off.
        null_text_start: Whose embedding null-text starts from: `empty` edits more strongly, `caption` follows the photo
            more closely where `exact` is off.
    """

    inversion: str = "null_text"
    steps: int = 50
    guidance_scale: float | None = None
    max_inner_steps: int = 3
    null_text_start: str = "empty"

    def __post_init__(self) -> None:
        _one_of("inversion", self.inversion, METHODS)
        _number("steps", self.steps, 1, whole=True)
        if self.guidance_scale is not None:
            _number("guidance_scale", self.guidance_scale, 1)
        _number("max_inner_steps", self.max_inner_steps, 0, whole=True)
        _one_of("null_text_start", self.null_text_start, NULL_TEXT_STARTS)


@dataclass(frozen=True)
class EditSettings:
    """How an edit is made.

    Attributes:
        cross_replace: When the source's cross-attention is carried over: a share of the steps from the beginning, a
            pair (start, end), or a mapping from new words (and `default`) to either.
        self_replace: A share or a pair for self-attention, which holds the layout.
        control: What a swapped word looks at: `replace` gives it the old word's attention, `refine` its own, `auto`
            is `replace`.
        emphasis: What the attention of the words that the new caption brings is multiplied by.
        reweight: New caption's words and what their attention is multiplied by; 0 and below turn a word off or round.
        blend_words: Words, of either caption, whose maps say where the edit takes place; None finds them.
        protect_words: Words, of either caption, that must not change.
        include_mask: A picture of the photo's size: white is always inside the mask.
        exclude_mask: White is never inside the mask.
        local_blend: False edits the whole frame.
        blend_start: Share of the steps after which what lies outside the mask is restored at every step.
        cell_share: A latent cell is also edited where the mask along the photo's edges fills more than this share of
            it; 1 leaves the cells to the maps alone.
        mask_rule: `otsu`, `midrange` or `published`.
        mask_threshold: In (0, 1), instead of the rule's own.
        mask_spread: How often a word's heat is carried along self-attention.
        refinement: How the mask finds the photo's edges: `grabcut`, `guided` or `plain`.
        feather: Width of the fade inside the mask, as a share of the photo's longer side.
        keep_detail: Whether the photo's own texture is carried through the edit; else the model's pixels are enlarged.
        texture: Least share of the photo's texture that shows in the edit, of what is finer than two of the model's
            pixels; None is all of it where only colours change, and otherwise no more than the edit itself leaves. It
            needs `keep_detail`.
        exact: Whether the source follows its inversion exactly; False samples it as first published.
    """

    cross_replace: Window | Mapping[str, Window] = 0.8
    self_replace: Window = 0.4
    control: str = "auto"
    emphasis: float = 2.0
    reweight: Mapping[str, float] = field(default_factory=dict)
    blend_words: Sequence[str] | None = None
    protect_words: Sequence[str] = ()
    include_mask: MaskSource | None = None
    exclude_mask: MaskSource | None = None
    local_blend: bool = True
    blend_start: float = 0.0
    cell_share: float = 0.2
    mask_rule: str = "otsu"
    mask_threshold: float | None = None
    mask_spread: int = 1
    refinement: str = "grabcut"
    feather: float = 0.005
    keep_detail: bool = True
    texture: float | None = None
    exact: bool = True

    def __post_init__(self) -> None:
        for window in self.cross_replace.values() if isinstance(self.cross_replace, Mapping) else [self.cross_replace]:
            window_bounds(window, "cross_replace")
        window_bounds(self.self_replace, "self_replace")
        _one_of("control", self.control, CONTROLS)
        _one_of("mask_rule", self.mask_rule, RULES)
        _one_of("refinement", self.refinement, REFINEMENTS)
        _number("emphasis", self.emphasis, -math.inf)
        _number("blend_start", self.blend_start, 0, 1)
        _number("cell_share", self.cell_share, 0, 1)
        _number("feather", self.feather, 0, 1)
        _number("mask_spread", self.mask_spread, 0, whole=True)
        if self.texture is not None:
            _number("texture", self.texture, 0, 1)
        if self.mask_threshold is not None:
            _number("mask_threshold", self.mask_threshold, 0.001, 0.999)
        if not isinstance(self.reweight, Mapping):
            raise EditRealError(f"expected reweight as words with their weights, {{'pink': 2}}, got {self.reweight!r}")
        for word, weight in self.reweight.items():
            _number(f"the weight of {word!r}", weight, -math.inf)
        for name in ("blend_words", "protect_words"):
            if isinstance(getattr(self, name), str):
                raise EditRealError(
                    f"expected {name} as a list of words, got the single string {getattr(self, name)!r}"
                )


@dataclass(frozen=True)
class InpaintSettings:
    """How a masked part of a photo is filled.

    Attributes:
        method: `blended` (blended latent diffusion), `pipeline` (a model trained to inpaint) or `telea` (no model).
        steps: Denoising steps.
        guidance_scale: How strongly the filling follows the caption; None is what suits the model.
        seed: Of the noise that it starts from.
        feather: Width of the fade inside the mask, as a share of the photo's longer side.
        radius: Pixels around each unknown one that `telea` looks at.
        padding: Pixels around the mask that `pipeline` sees of the photo.
    """

    method: str = "blended"
    steps: int = 50
    guidance_scale: float | None = None
    seed: int = 0
    feather: float = 0.005
    radius: float = 5.0
    padding: int = 32

    def __post_init__(self) -> None:
        _one_of("method", self.method, INPAINTINGS)
        _number("steps", self.steps, 1, whole=True)
        if self.guidance_scale is not None:
            _number("guidance_scale", self.guidance_scale, 1)
        _number("seed", self.seed, 0, 2**63 - 1, whole=True)
        _number("feather", self.feather, 0, 1)
        _number("radius", self.radius, 1, 100)
        _number("padding", self.padding, 0, whole=True)


Settings = TypeVar("Settings", InversionSettings, EditSettings, InpaintSettings)


def with_options(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """`settings` with `options` on top.

    Raises:
        EditRealError: An option that they do not have, or a value that does not fit.
    """
    known = [field.name for field in fields(settings)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise EditRealError(f"expected options among {', '.join(known)}, got {', '.join(unknown)}")
    return replace(settings, **options)


def split_settings(options: Mapping[str, Any]) -> tuple[InversionSettings, EditSettings]:
    """Sorts keyword arguments into the two kinds of settings.

    Raises:
        EditRealError: An option that neither kind has, or a value that does not fit.
    """
    inversion_names, edit_names = ({f.name for f in fields(kind)} for kind in (InversionSettings, EditSettings))
    unknown = sorted(set(options) - inversion_names - edit_names)
    if unknown:
        known = ", ".join(sorted(inversion_names | edit_names))
        raise EditRealError(f"expected options among {known}, got {', '.join(unknown)}")
    inversion = {name: value for name, value in options.items() if name in inversion_names}
    edit = {name: value for name, value in options.items() if name in edit_names}
    return InversionSettings(**inversion), EditSettings(**edit)


def _one_of(name: str, value: object, allowed: Sequence[str] | Mapping[str, Any]) -> None:
    if value not in allowed:
        raise EditRealError(f"expected {name} among {', '.join(allowed)}, got {value!r}")


def _number(name: str, value: object, least: float, most: float = math.inf, *, whole: bool = False) -> None:
    kinds = int if whole else (int, float)
    if (
        isinstance(value, bool)
        or not isinstance(value, kinds)
        or not math.isfinite(value)
        or not least <= value <= most
    ):
        kind = "a whole number" if whole else "a number"
        span = f" of {least} or more" if most == math.inf else f" between {least} and {most}"
        raise EditRealError(f"expected {name} as {kind}{'' if least == -math.inf else span}, got {value!r}")
