"""How an edit is made, and how a masked part is filled: what a user can set, described once and checked once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, TypeVar

from backbones.errors import EditRealError
from backbones.option import PICTURE, WEIGHTS, WORDS, check_options, comparable, described, option
from editing.window import WINDOW, WINDOWS, Window
from inversion.settings import MOST_SEED, InversionSettings
from masks.user_mask import MaskSource

__all__ = [
    "MASKS",
    "EditSettings",
    "InpaintSettings",
    "InversionSettings",
    "settings_for_each",
    "split_settings",
    "with_options",
]


def _controls() -> Collection[str]:
    from editing.controls import CONTROLS  # which imports this file

    return CONTROLS


def _rules() -> Collection[str]:
    from masks.binarize import RULES

    return RULES


def _refinements() -> Collection[str]:
    from masks.refine import REFINEMENTS

    return REFINEMENTS


def _kinds() -> Collection[str]:
    from editing.kind import KINDS

    return KINDS


def _inpaintings() -> Collection[str]:
    from editing.inpaint import INPAINTINGS

    return INPAINTINGS


@dataclass(frozen=True, eq=False)
class EditSettings:
    """How an edit is made; each field's metadata says what it does, see docs/reference.md.

    Settings are equal where their values are, and can be keys; masks are told by their pixels. A list, mapping or
    array that was handed over is kept as it is: whoever changes it changes the settings.

    Raises:
        EditRealError: A value that does not fit.
    """

    cross_replace: Window | Mapping[str, Window] = option(
        0.8,
        help="when the photo's cross-attention is kept, as a share of the steps from the beginning or as (start, end); "
        "words of the new caption may have their own, and `default` is everyone else's",
        group="attention",
        kind=WINDOWS,
    )
    self_replace: Window = option(
        0.4,
        help="when the photo's self-attention is kept, which holds the layout",
        group="attention",
        kind=WINDOW,
    )
    control: str = option(
        "replace",
        help="how the photo's attention enters the edit; the other settings of attention act with `replace` and "
        "`refine`",
        group="attention",
        choices=_controls,
    )
    emphasis: float = option(
        2.0,
        help="what the attention of the words that the new caption brings is multiplied by",
        group="attention",
    )
    emphasis_window: Window = option(
        1.0,
        help="when `emphasis` and `reweight` act",
        group="attention",
        kind=WINDOW,
    )
    reweight: Mapping[str, float] = option(
        {},
        help="words of the new caption and what their attention is multiplied by instead; at 0 nothing looks at the "
        "word, and below 0 its attention acts in reverse",
        group="attention",
        kind=WEIGHTS,
    )
    blend_words: Sequence[str] | None = option(
        None,
        help="words of either caption whose maps say where the edit takes place",
        group="mask",
        kind=WORDS,
        none="the words that change",
    )
    protect_words: Sequence[str] = option(
        (),
        help="words of either caption that must not change",
        group="mask",
        kind=WORDS,
    )
    include_mask: MaskSource | None = option(
        None,
        help="a picture of the photo's size: white is always edited",
        group="mask",
        kind=PICTURE,
        none="no picture",
    )
    exclude_mask: MaskSource | None = option(
        None,
        help="a picture of the photo's size: white is never edited",
        group="mask",
        kind=PICTURE,
        none="no picture",
    )
    mask_grows: bool = option(
        False,
        help="whether the mask also takes in where new words that take an old one's place are seen while the edit is "
        "made; where things are added it does in any case. Then nothing is looked at closer",
        group="mask",
    )
    closer: float = option(
        0.5,
        help="where the part of the photo round what the words speak of is smaller than this share of it, that part is "
        "inverted and edited on its own, at the model's full size; 0 never",
        group="mask",
        least=0,
        most=1,
    )
    local_blend: bool = option(
        True,
        help="whether what lies outside the mask is restored; without it the whole frame is edited",
        group="mask",
    )
    blend_start: float = option(
        0.3,
        help="share of the steps after which what lies outside the mask is restored at every step; earlier moves the "
        "surroundings less and draws less of the asked colour",
        group="mask",
        least=0,
        most=1,
    )
    cell_share: float = option(
        0.2,
        help="a latent cell is edited too where the mask along the photo's edges fills more than this share of it; "
        "1 leaves the cells to the maps alone",
        group="mask",
        least=0,
        most=1,
    )
    mask_rule: str = option(
        "midrange",
        help="how a word's heat map is cut into a mask",
        group="mask",
        choices=_rules,
    )
    mask_threshold: float | None = option(
        None,
        help="where the heat map is cut; lower makes the mask larger",
        group="mask",
        least=0.001,
        most=0.999,
        none="the rule's own",
    )
    mask_spread: int | None = option(
        None,
        help="how often a word's heat is carried along self-attention, which fills a thing that its map only touches",
        group="mask",
        least=0,
        whole=True,
        none="what suits the model",
    )
    refinement: str = option(
        "grabcut",
        help="how the mask finds the photo's edges",
        group="mask",
        choices=_refinements,
    )
    feather: float = option(
        0.005,
        help="how far round each pixel of the mask's edge colours tell thing from ground, as a share of the longer "
        "side of the photo, or of its region; 0 for a hard edge",
        group="composite",
        least=0,
        most=1,
    )
    keep_detail: bool = option(
        True,
        help="whether the photo's own texture is carried through the edit; else the model's pixels are enlarged",
        group="composite",
    )
    texture: float | None = option(
        None,
        help="least share of the photo's texture that shows in the edit, of what is finer than two of the model's "
        "pixels; it needs `keep_detail`",
        group="composite",
        least=0,
        most=1,
        none="all of it where `kind` is `colour` or, unless it is `thing`, only colours change; else no more than the "
        "edit leaves",
    )
    exact: bool = option(
        True,
        help="whether the source follows its inversion exactly; else it is sampled as first published",
        group="inversion",
    )
    negative_alpha: float | None = option(
        None,
        help="plug-and-play's negative prompt, for twice the time of the edit: share of the unconditional caption in "
        "what guidance leads away from, at the first step; by the last it has fallen to 0, and the photo's caption has "
        "its place. Published: 1 for photos, 0.75 for generated images",
        group="inversion",
        least=0,
        most=1,
        none="the unconditional caption alone",
    )
    kind: str | None = option(
        None,
        help="what the edit is about, by which settings are chosen that are left at their defaults; `plain` leaves "
        "them all there",
        group="policy",
        choices=_kinds,
        none="what the captions tell",
    )
    attempts: int = option(
        2,
        help="how often the edit is made at most, each time with other settings, until it is not in doubt or no "
        "settings are left that may mend it; the best is taken",
        group="policy",
        least=1,
        most=5,
        whole=True,
    )

    def __post_init__(self) -> None:
        check_options(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EditSettings) and comparable(vars(self)) == comparable(vars(other))

    def __hash__(self) -> int:
        return hash(comparable(vars(self)))


MASKS = tuple(name for name, one in described(EditSettings).items() if one.kind is PICTURE)
"""The settings of an edit that are pictures."""


@dataclass(frozen=True)
class InpaintSettings:
    """How a masked part of a photo is filled; each field's metadata says what it does, see docs/reference.md.

    Raises:
        EditRealError: A value that does not fit.
    """

    method: str = option(
        "blended",
        help="how the masked part is drawn anew",
        group="inpainting",
        choices=_inpaintings,
    )
    steps: int = option(
        InversionSettings.steps,
        help="denoising steps",
        group="inpainting",
        least=1,
        whole=True,
    )
    guidance_scale: float | None = option(
        InversionSettings.guidance_scale,
        help="how strongly the filling follows the caption",
        group="inpainting",
        least=1,
        none="what suits the model",
    )
    seed: int = option(
        0,
        help="of the noise that it starts from",
        group="inpainting",
        least=0,
        most=MOST_SEED,
        whole=True,
    )
    feather: float = option(
        EditSettings.feather,
        help="width of the fade inside the mask, as a share of the longer side of the photo, or of its region",
        group="inpainting",
        least=0,
        most=1,
    )
    radius: float = option(
        5.0,
        help="pixels around each unknown one that `telea` looks at",
        group="inpainting",
        least=1,
        most=100,
    )
    padding: int = option(
        32,
        help="pixels around the mask that `pipeline` sees of the photo",
        group="inpainting",
        least=0,
        whole=True,
    )

    def __post_init__(self) -> None:
        check_options(self)


Settings = TypeVar("Settings", InversionSettings, EditSettings, InpaintSettings)


def with_options(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """`settings` with `options` on top.

    Raises:
        EditRealError: An option that they do not have, or a value that does not fit.
    """
    _refuse_unknown(options, [field.name for field in fields(settings)])
    return replace(settings, **options)


def split_settings(options: Mapping[str, Any]) -> tuple[InversionSettings, EditSettings]:
    """Sorts keyword arguments into the two kinds of settings.

    Raises:
        EditRealError: An option that neither kind has, or a value that does not fit.
    """
    inversion_names, edit_names = ([field.name for field in fields(kind)] for kind in (InversionSettings, EditSettings))
    _refuse_unknown(options, inversion_names + edit_names)
    inversion = {name: value for name, value in options.items() if name in inversion_names}
    edit = {name: value for name, value in options.items() if name in edit_names}
    return InversionSettings(**inversion), EditSettings(**edit)


def settings_for_each(
    settings: EditSettings | Sequence[EditSettings] | None, options: Mapping[str, Any], count: int
) -> list[EditSettings]:
    """Settings for each of `count` edits, from shared ones or one each, with `options` on top.

    Raises:
        EditRealError: Another number of settings, or an option that does not fit.
    """
    if settings is None or isinstance(settings, EditSettings):
        choices = [with_options(settings or EditSettings(), options)] * count
    else:
        choices = [with_options(one, options) for one in settings]
    if len(choices) != count:
        raise EditRealError(f"expected one settings for each new caption, got {len(choices)} for {count} captions")
    return choices


def _refuse_unknown(options: Mapping[str, Any], known: Collection[str]) -> None:
    if unknown := sorted(set(options) - set(known)):
        homes = {"the inversion": InversionSettings, "the edit": EditSettings}
        at_home = [
            f"; {name} belongs to {home}" for name in unknown for home, kind in homes.items() if name in _names(kind)
        ]
        near = [] if at_home else [one for name in unknown for one in get_close_matches(name, known, n=1)]
        remedy = f"; you may mean {' and '.join(near)}" if near else "".join(at_home)
        raise EditRealError(f"expected options among {', '.join(known)}, got {', '.join(unknown)}{remedy}")


def _names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}
