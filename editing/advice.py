"""What to say instead of a word that a model was never shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches

from backbones.text import Caption
from editing.align import BEING, FUNCTION_WORDS, MEDIA, PHOTOS, head_of, is_color, is_content
from editing.colors import color_named

# Beside function words, what shows nothing of its own.
UNSEEN = frozenset(
    "one two three four five six seven eight nine ten several many few both all each every another other more most it "
    "he she they there very so too also".split()
)
LETTERS = 6  # from which on a word is taken for another that is spelled alike
ALIKE = 0.88  # a letter too many or too few, as difflib measures it, but hardly another letter


def words_to_replace(captions: Iterable[Caption], known_words: Collection[str]) -> list[str]:
    """The words of captions that the model was never shown, each with what to say instead.

    Not function words, numbers and the like, since nothing is drawn for them.

    Example:
        >>> words_to_replace([backbone.parse("a lilac vase on a wooden table")], backbone.known_words)
        ["'lilac' (say 'purple')", "'vase' (say 'object')", "'wooden' (leave it out)", "'table' (say 'an object')"]
    """
    advice: dict[str, str] = {}
    for caption, index in _unknown(captions, known_words):
        word = caption.words[index]
        instead = [_with_article(caption, index, other) for other in _others(caption, index, known_words)]
        said = f"say {_either(instead)}" if instead else "leave it out"
        advice.setdefault(word.key, f"{word.text!r} ({said})")
    return list(advice.values())


def _unknown(captions: Iterable[Caption], known_words: Collection[str]) -> Iterator[tuple[Caption, int]]:
    silent = {*known_words, *FUNCTION_WORDS, *UNSEEN}
    for caption in captions:
        for index, word in enumerate(caption.words):
            if not (word.is_punctuation or word.key in silent or word.key[0].isdigit()):
                yield caption, index


def _others(caption: Caption, index: int, known_words: Collection[str]) -> list[str]:
    """Words that the model knows for one that it does not: of a like colour or spelling, and for a thing `object`."""
    key = caption.words[index].key
    if is_color(caption, index):
        return _colors(caption, index, known_words)
    if key in MEDIA:
        return sorted(PHOTOS & {*known_words}) if key in PHOTOS else []
    alike = get_close_matches(key, sorted(known_words), n=2, cutoff=ALIKE) if len(key) >= LETTERS else []
    thing = "objects" if key.endswith("s") and not key.endswith("ss") else "object"
    return [*alike, thing] if thing in known_words and _is_noun(caption, index) else alike


def _colors(caption: Caption, index: int, known_words: Collection[str]) -> list[str]:
    """The model's words for a colour: those that mean much the same, else all; none for "dark" in "dark red"."""
    names = {color_named(part) for part in caption.words[index].key.split("-")} - {None}
    if not names and any(color_named(word.key) for word in caption.words[index + 1 : index + 2]):
        return []
    colors = sorted(word for word in known_words if color_named(word))
    return [color for color in colors if color_named(color) in names] or colors


def _is_noun(caption: Caption, index: int) -> bool:
    """Whether a word is the last of its phrase, and not said of a thing, as "big" in "the rose is big"."""
    said_of = index > 0 and caption.words[index - 1].key in BEING
    return is_content(caption, index) and head_of(caption, index) == index and not said_of


def _with_article(caption: Caption, index: int, other: str) -> str:
    """Another word for the one at `index`, with its article where the caption has one that does not suit it."""
    before = caption.words[index - 1].key if index else ""
    article = "an" if other[0] in "aeiou" else "a"
    return f"{article} {other}" if before in {"a", "an"} - {article} else other


def _either(words: Sequence[str]) -> str:
    *some, last = map(repr, words)
    return f"{', '.join(some)} or {last}" if some else last
