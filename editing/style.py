"""Which words of a caption say how all of the picture is drawn."""

from __future__ import annotations

from collections.abc import Collection

from backbones.text import Caption
from editing.align import ARTICLES, MEDIA, PHOTOS, is_content


def words_of_style(caption: Caption, indices: Collection[int]) -> set[str]:
    """The keys of those of the words that say how all is drawn.

    They are media, or what is said of a photo, in what a caption begins with ("an oil painting of", "a blurry photo
    of"); what stands for a style ("in the style of a comic", "in comic style"); and a medium after the last comma.
    """
    words = caption.words
    opening, style, last = _opening(caption), _style(caption), _last(caption)
    of_photo = bool(opening) and words[opening[-1]].key in PHOTOS
    return {
        words[k].key
        for k in indices
        if k in style or (k in opening and of_photo) or ((k in opening or k in last) and words[k].key in MEDIA)
    }


def _opening(caption: Caption) -> range:
    """Up to the first "of", where a medium stands before it, and nothing but what describes that; else nothing."""
    words = caption.words
    end = next((k for k, word in enumerate(words) if not _describes(caption, k) and word.key != "and"), len(words))
    is_one = 0 < end < len(words) and words[end].key == "of" and words[end - 1].key in MEDIA
    return range(end if is_one else 0)


def _style(caption: Caption) -> range:
    """From "in" on, in "in the style of a comic" or "in comic style"; else nothing."""
    words = caption.words
    for k in (k for k, word in enumerate(words) if word.key == "style"):
        start, end = k, k + 1
        while start > 0 and _describes(caption, start - 1):
            start -= 1
        if start == 0 or words[start - 1].key != "in":
            continue
        if end < len(words) and words[end].key == "of":
            end += 1
            while end < len(words) and _describes(caption, end):
                end += 1
        return range(start - 1, end)
    return range(0)


def _last(caption: Caption) -> range:
    """What follows the last comma, where that is a medium and what describes it; else nothing."""
    words = caption.words
    end = max((k + 1 for k, word in enumerate(words) if not word.is_punctuation), default=0)
    start = max((k + 1 for k in range(end) if words[k].is_punctuation), default=0)
    phrase = range(start, end)
    is_one = start > 0 and words[end - 1].key in MEDIA
    return phrase if is_one and all(_describes(caption, k) for k in phrase) else range(0)


def _describes(caption: Caption, index: int) -> bool:
    """Whether a word may stand in a phrase: a content word or an article."""
    return is_content(caption, index) or caption.words[index].key in ARTICLES
