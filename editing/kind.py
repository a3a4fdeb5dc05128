"""What kind of edit two captions ask for, and the settings that suit it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from backbones.option import comparable
from backbones.text import Caption
from editing.align import MEDIA, PHOTOS, Alignment, changed_words, head_of, is_color, is_content
from editing.settings import EditSettings
from editing.style import words_of_style

SCENES = frozenset(
    "background backdrop scene scenery landscape sky ground floor wall street city forest beach desert mountain "
    "mountains field garden meadow grass snow water sea ocean room kitchen studio night day sunset sunrise winter "
    "summer autumn weather".split()
)

KINDS: Mapping[str, str] = {
    "colour": "the colour of a thing",
    "thing": "one thing for another",
    "scene": "the background, or where it all is",
    "style": "the style of the whole picture",
    "added": "words added",
    "removed": "words removed",
    "weighed": "a word turned up or down",
    "plain": "none of these",
}
"""What an edit may be about, with what that means. `plain` follows the settings alone."""

POLICY: Mapping[str, Mapping[str, Any]] = {
    "scene": {"self_replace": 0.2, "emphasis": 3.0},
    "style": {"local_blend": False},  # by what is asked for: no word's map holds the whole picture
}
"""Settings that a kind chooses where they are at their defaults; a kind that is not here keeps the defaults.

Those of `scene` were measured on train photos, see docs/trust.md.
"""


def kind_of(alignment: Alignment, *, weighed: bool = False, colors: Collection[str] = ()) -> str:
    """The kind of an edit, found from its captions alone; where it is of several, the one that takes most of the frame.

    Args:
        alignment: Of the two captions.
        weighed: Whether words of the new caption have weights of their own.
        colors: Further words for colours, such as the model lists.

    Returns:
        A key of `KINDS`.
    """
    source, target = alignment.source, alignment.target
    changed_source, changed_target = changed_words(alignment)
    gone, come = _content(source, changed_source), _content(target, changed_target)
    if not gone and not come:
        return "weighed" if weighed else "plain"
    old, new = words_of_style(source, gone), words_of_style(target, come)
    if new - PHOTOS or old - MEDIA or (new and old - PHOTOS):
        return "style"
    if not come:
        return "removed"
    if SCENES & ({_head(source, i) for i in gone} | {_head(target, j) for j in come}):
        return "scene"
    if all(is_color(caption, k, colors) for caption, some in ((source, gone), (target, come)) for k in some):
        return "colour"
    return "thing" if gone else "added"


def policy_of(kind: str, settings: EditSettings) -> Mapping[str, Any]:
    """What a kind chooses for these settings; not all of the frame, where the user says where the edit is to be."""
    says_where = settings.blend_words is not None or settings.include_mask is not None
    chosen = POLICY.get(kind, {})
    return {name: value for name, value in chosen.items() if not (says_where and name == "local_blend")}


def fill_in(settings: EditSettings, chosen: Mapping[str, Any]) -> EditSettings:
    """The settings with `chosen` in the place of those that are at their defaults; what was set otherwise stays."""
    plain = EditSettings()
    left = {name for name in chosen if comparable(getattr(settings, name)) == comparable(getattr(plain, name))}
    return replace(settings, **{name: value for name, value in chosen.items() if name in left})


def _content(caption: Caption, indices: Collection[int]) -> list[int]:
    """Those of the words that say something; the others change with their neighbours."""
    return [k for k in indices if is_content(caption, k)]


def _head(caption: Caption, index: int) -> str:
    return caption.words[head_of(caption, index)].key
