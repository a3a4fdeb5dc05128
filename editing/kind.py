"""What kind of edit two captions ask for, and the settings that suit it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from backbones.option import comparable
from backbones.text import Caption
from editing.align import ARTICLES, Alignment, head_of, is_color, is_content
from editing.settings import EditSettings

SCENES = frozenset(
    "background backdrop scene scenery landscape sky ground floor wall street city forest beach desert mountain "
    "mountains field garden meadow grass snow water sea ocean room kitchen studio night day sunset sunrise winter "
    "summer autumn weather".split()
)
MEDIA = frozenset(
    "photo photograph picture image style painting drawing sketch watercolor watercolour oil pencil charcoal cartoon "
    "comic anime illustration render rendering engraving etching poster mosaic sculpture print art artwork".split()
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

POLICY: Mapping[str, Mapping[str, Any]] = {"scene": {"self_replace": 0.2, "emphasis": 3.0}}
"""Settings that a kind chooses where they are at their defaults; a kind that is not here keeps the defaults.

Measured on train photos, see docs/trust.md.
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
    gone = _content(source, (*alignment.removed, *(i for i, _ in alignment.swaps)))
    come = _content(target, (*alignment.added, *(j for _, j in alignment.swaps)))
    if not gone and not come:
        return "weighed" if weighed else "plain"
    if any(_is_of_style(caption, k) for caption, some in ((source, gone), (target, come)) for k in some):
        return "style"
    if not come:
        return "removed"
    if SCENES & ({_head(source, i) for i in gone} | {_head(target, j) for j in come}):
        return "scene"
    if all(is_color(caption, k, colors) for caption, some in ((source, gone), (target, come)) for k in some):
        return "colour"
    return "thing" if gone else "added"


def fill_in(settings: EditSettings, chosen: Mapping[str, Any]) -> EditSettings:
    """The settings with `chosen` in the place of those that are at their defaults; what was set otherwise stays."""
    plain = EditSettings()
    left = {name for name in chosen if comparable(getattr(settings, name)) == comparable(getattr(plain, name))}
    return replace(settings, **{name: value for name, value in chosen.items() if name in left})


def _content(caption: Caption, indices: Collection[int]) -> list[int]:
    """Those of the words that say something; articles and punctuation change with their neighbours."""
    words = caption.words
    return [k for k in indices if not words[k].is_punctuation and words[k].key not in ARTICLES and is_content(words[k])]


def _head(caption: Caption, index: int) -> str:
    return caption.words[head_of(caption, index)].key


def _is_of_style(caption: Caption, index: int) -> bool:
    """Whether a word says how all is drawn: it belongs to what the caption begins with, or to a "style"."""
    head = head_of(caption, index)
    first = next(k for k, word in enumerate(caption.words) if is_content(word))
    key = caption.words[head].key
    return key == "style" or (key in MEDIA and head == head_of(caption, first))
