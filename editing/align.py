"""Which word of the new caption answers to which word of the old one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from backbones.text import Caption, Word

# Words that end a noun phrase; what stands between two of them describes its last word.
FUNCTION_WORDS = frozenset(
    "a an the of in on at with without and or but to for by from near under over above below behind beside before "
    "after into onto against between through around along is are was were be being been has have its his her their "
    "this that these those which who my your our some no not as like while wearing holding front top next".split()
)
BEING = frozenset("is are was were".split())
RELATIVE = frozenset("that which who".split())
JOINING = frozenset(("and", "or", ","))
ARTICLES = frozenset(("a", "an", "the"))
COLORS = frozenset(
    "black white gray grey red orange yellow green blue purple pink brown violet turquoise cyan magenta beige crimson "
    "scarlet maroon burgundy navy indigo teal azure tan khaki golden silver cream ivory lilac lavender mauve fuchsia "
    "coral mint olive mustard ochre blond blonde bright dark light pale reddish yellowish greenish bluish purplish "
    "pinkish brownish grayish greyish whitish blackish".split()
)
SPELLINGS = {"grey": "gray", "greyish": "grayish", "blonde": "blond"}
# What ends in "-ing" and is no action.
THINGS_IN_ING = frozenset(
    "awning building ceiling clothing duckling dumpling dwelling earring evening frosting gosling herring icing "
    "lightning morning offspring pudding railing sapling seedling sibling spring starling stocking string topping "
    "viking wedding".split()
)
PHOTOS = frozenset("photo photograph picture image".split())
MEDIA = PHOTOS | frozenset(
    "style painting drawing sketch watercolor watercolour oil pencil charcoal cartoon comic anime illustration render "
    "rendering engraving etching poster mosaic sculpture print art artwork".split()
)
SILENT = ARTICLES | JOINING | BEING | RELATIVE  # what says nothing of its own
DETERMINERS = ARTICLES | frozenset("his her their its this that these those my your our some".split())


@dataclass(frozen=True, eq=False)
class Alignment:
    """Two captions, word by word and token by token.

    Attributes:
        source: What the photo shows.
        target: What it should show.
        matches: Pairs (source word, target word) by index: the same word in both, moved or not.
        swaps: Pairs by index: one word standing where another stood.
        removed: Indices of source words that nothing answers to.
        added: Indices of target words that answer to nothing.
    """

    source: Caption
    target: Caption
    matches: tuple[tuple[int, int], ...]
    swaps: tuple[tuple[int, int], ...]
    removed: tuple[int, ...]
    added: tuple[int, ...]

    @property
    def changes_nothing(self) -> bool:
        """Whether no word differs but what says nothing of its own, "a photo of", and one word's number or spelling."""
        return not self.moved and not any(_telling(self, *changed_words(self)))

    @property
    def moved(self) -> bool:
        """Whether the same words stand in another order."""
        order = [j for _, j in sorted(self.matches)]
        return order != sorted(order)

    @property
    def only_moves(self) -> bool:
        """Whether the order of the words is all that differs."""
        return self.moved and not any(changed_words(self))

    def carry_matrix(self, *, swaps: bool = True) -> torch.Tensor:
        """How the source tokens' attention falls to the target's tokens, `(K, K)`, rows from source.

        A row sums to 1, or to 0 for the tokens of a removed word. A matched word hands its tokens over one by one;
        a swapped one shares its attention equally among the new word's tokens, whatever their numbers. The end and
        padding tokens answer to one another in order.

        Args:
            swaps: False leaves the swapped words' columns empty, so that new words find their own place.
        """
        matrix = torch.zeros(self.source.length, self.target.length)
        for source, target in zip(self.source.sequences, self.target.sequences, strict=True):
            for pairs, one_by_one in ((self.matches, True), (self.swaps if swaps else (), False)):
                for i, j in pairs:
                    old, new = source.of(self.source.words[i]), target.of(self.target.words[j])
                    _hand_over(matrix, old, new, one_by_one)
            for position in range(source.first, source.begin):
                matrix[position, position] = 1.0
            for position in range(source.end, source.stop):
                matrix[position, min(target.end + position - source.end, target.stop - 1)] = 1.0
        return matrix

    def fresh_tokens(self, *, swaps: bool = True) -> torch.Tensor:
        """The target tokens that take nothing from the source, `(K,)` bool: those of the added words."""
        words = [*self.added, *(() if swaps else (j for _, j in self.swaps))]
        fresh = torch.zeros(self.target.length, dtype=torch.bool)
        for j in words:
            fresh[list(self.target.words[j].positions)] = True
        return fresh


def align_captions(source: Caption, target: Caption) -> Alignment:
    """Aligns two captions by their words, not their tokens, so that a word's token count cannot shift the rest.

    Equal words that keep their order are matched first (a longest common subsequence in which content words count
    more than function words), then equal words that moved, unless they came into another phrase: in "a red rose and a
    white tulip" -> "a white rose and a red tulip" two colours are swapped. Between two matches, what is left on
    both sides is swapped from the right, where English keeps the noun: in "rose" -> "yellow tulip" the rose turns tulip
    and yellow is added.
    """
    matches = list(_common_subsequence(source, target))
    anchors = [(-1, -1), *matches, (len(source.words), len(target.words))]
    free_source = set(range(len(source.words))) - {i for i, _ in matches}
    free_target = set(range(len(target.words))) - {j for _, j in matches}
    for i in sorted(free_source):
        word = source.words[i]
        moved = [j for j in sorted(free_target) if target.words[j].key == word.key and _moved(source, i, target, j)]
        if moved:
            matches.append((i, moved[0]))
            free_source.discard(i)
            free_target.discard(moved[0])
    swaps = []
    for (i0, j0), (i1, j1) in pairwise(anchors):
        left = [i for i in range(i0 + 1, i1) if i in free_source and not source.words[i].is_punctuation]
        right = [j for j in range(j0 + 1, j1) if j in free_target and not target.words[j].is_punctuation]
        swaps += list(zip(reversed(left), reversed(right), strict=False))
    swaps.sort()
    removed = sorted(free_source - {i for i, _ in swaps})
    added = sorted(free_target - {j for _, j in swaps})
    return Alignment(source, target, tuple(sorted(matches)), tuple(swaps), tuple(removed), tuple(added))


def new_words(alignment: Alignment) -> list[Word]:
    """The target's content words and "-ing" forms that the source lacks: added, or where another word stood."""
    return [alignment.target.words[j] for j in _new(alignment)]


def new_colors(alignment: Alignment, further: Collection[str] = ()) -> list[Word]:
    """Those of `new_words` that are colours; `further` are words for colours beside `COLORS`."""
    return [alignment.target.words[j] for j in _new(alignment) if is_color(alignment.target, j, further)]


def _new(alignment: Alignment) -> list[int]:
    target = alignment.target
    return [j for j in sorted(changed_words(alignment)[1]) if is_content(target, j) or _does(target, j)]


def changed_words(alignment: Alignment) -> tuple[set[int], set[int]]:
    """Indices of the words that differ, of the source and of the target.

    Not "a photo of" that is left out, put before, or "a picture of" by now; nor one word in another number or spelling.
    """
    old, new = _opening(alignment.source), _opening(alignment.target)
    words, new_words = alignment.source.words, alignment.target.words
    swaps = [
        (i, j) for i, j in alignment.swaps if not (i in old and j in new) and not _alike(words[i].key, new_words[j].key)
    ]
    source = {*alignment.removed} - old | {i for i, _ in swaps}
    target = {*alignment.added} - new | {j for _, j in swaps}
    return source, target


def _alike(key: str, other: str) -> bool:
    """Whether two keys are one word's, in both numbers ("pear", "pears") or in both spellings ("gray", "grey")."""
    return SPELLINGS.get(key, key) == SPELLINGS.get(other, other) or key in _plurals(other) or other in _plurals(key)


def _plurals(key: str) -> set[str]:
    ending = {"y": "ies", "f": "ves"}.get(key[-1:])
    return {key + "s", key + "es", *([key[:-1] + ending] if ending else [])}


def _opening(caption: Caption) -> set[int]:
    """Indices of "a photo of" at the beginning of a caption, which asks for nothing."""
    keys = [word.key for word in caption.words]
    start = int(bool(keys) and keys[0] in ARTICLES)
    opens = len(keys) > start + 1 and keys[start] in PHOTOS and keys[start + 1] == "of"
    return set(range(start + 2)) if opens else set()


def only_colors_change(alignment: Alignment, reweighted: Sequence[Word] = (), further: Collection[str] = ()) -> bool:
    """Whether the edit changes colours alone ("red" -> "white" in "a red rose"), so that textures stay.

    Articles, and the words that join colours or lead to them, do not count. `further` are words for colours beside
    `COLORS`.
    """
    words = _telling(alignment, *_changed(alignment, reweighted))
    return bool(words) and all(is_color(caption, k, further) for caption, k in words)


def _telling(alignment: Alignment, source: set[int], target: set[int]) -> list[tuple[Caption, int]]:
    """Those of the words at indices of the source and of the target that say something of their own."""
    some = [(alignment.source, i) for i in source] + [(alignment.target, j) for j in target]
    return [(c, k) for c, k in some if c.words[k].key not in SILENT and not c.words[k].is_punctuation]


def is_color(caption: Caption, index: int, further: Collection[str] = ()) -> bool:
    """Whether a word is a colour, or several with hyphens, that describes another word; "an orange" is a thing.

    Args:
        caption: That the word is of.
        index: Of the word in it.
        further: Words for colours beside `COLORS`, such as a model lists.
    """
    return _names_color(caption.words[index], further) and head_of(caption, index) != index


def _names_color(word: Word, further: Collection[str] = ()) -> bool:
    """Whether a word is one for a colour, or for several with hyphens, such as "black-and-white"."""
    parts = [part for part in word.key.split("-") if part not in JOINING]
    return bool(parts) and all(part in COLORS or part in further for part in parts)


def edited_words(alignment: Alignment, reweighted: Sequence[Word] = ()) -> tuple[list[Word], list[Word]]:
    """The words whose maps say where the edit takes place: (of the source, of the target).

    They are the changed and reweighted content words and, for each, the noun that it describes: the last word of the
    run between function words in which it stands ("green" -> "orange" in "a green leather bag" also names "bag"),
    since the map of a colour is diffuse where that of a thing is not.
    """
    source, target = alignment.source, alignment.target
    changed_source, changed_target = _changed(alignment, reweighted)
    chosen_source = {k for i in changed_source for k in (i, head_of(source, i))}
    chosen_target = {k for j in changed_target for k in (j, head_of(target, j))}
    to_target = dict(alignment.matches) | dict(alignment.swaps)
    to_source = {j: i for i, j in to_target.items()}
    chosen_target |= {to_target[i] for i in chosen_source if i in to_target}
    chosen_source |= {to_source[j] for j in chosen_target if j in to_source}
    placed_source, placed_target = _content(source, chosen_source), _content(target, chosen_target)
    if not placed_source:  # "with a hat" -> "with no hat": what one side leads to, the other has
        placed_source = [to_source[j] for j in placed_target if j in to_source]
    if not placed_target:
        placed_target = [to_target[i] for i in placed_source if i in to_target]
    return [source.words[i] for i in placed_source], [target.words[j] for j in placed_target]


def added_things(alignment: Alignment, words: Iterable[Word]) -> list[Word]:
    """Those of some words of the new caption whose noun stands for nothing in the old one."""
    target = alignment.target
    return [word for word in words if head_of(target, target.words.index(word)) in alignment.added]


def reweighted_words(alignment: Alignment, names: Iterable[str]) -> list[Word]:
    """The target's words of those names.

    Raises:
        EditRealError: A name that the new caption lacks.
    """
    return [word for name in names for word in alignment.target.find(name)]


def head_of(caption: Caption, index: int) -> int:
    """Index of the noun that the word at `index` describes; its own where it describes none.

    An "-ing" form describes one where it begins a phrase: "a sleeping cat", but not "a dog chasing cats". A colour
    describes what those that it is joined to do ("red and white shorts"), or what it is said of ("the shorts are red",
    "shorts that are red", "shorts, red").
    """
    opens = _does(caption, index) and not (index > 0 and is_content(caption, index - 1))
    if not (is_content(caption, index) or opens):
        return index
    last = _end_of_run(caption, index)
    if not _names_color(caption.words[last]):
        return last
    following = last + 2
    if following < len(caption.words) and _joins_colors(caption, last + 1):
        return head_of(caption, following)
    return _what_it_is_said_of(caption, last)


def _end_of_run(caption: Caption, index: int) -> int:
    """Index of the last of the content words that stand together from `index` on."""
    while index + 1 < len(caption.words) and is_content(caption, index + 1):
        index += 1
    return index


def _joins_colors(caption: Caption, index: int) -> bool:
    """Whether a word stands between two colours and joins them."""
    words = caption.words
    inside = 0 < index < len(words) - 1 and words[index].text.lower() in JOINING
    return inside and _names_color(words[index - 1]) and _names_color(words[index + 1])


def _what_it_is_said_of(caption: Caption, index: int) -> int:
    """Index of the noun that colours up to `index` are said of afterwards; `index` where there is none."""
    words, start = caption.words, index
    while start > 0 and (is_content(caption, start - 1) or _joins_colors(caption, start - 1)):
        start -= 1
    if start == 0 or not (words[start - 1].key in BEING or words[start - 1].text == ","):
        return index
    noun = start - 2
    while noun > 0 and words[noun].key in RELATIVE:
        noun -= 1
    return noun if noun >= 0 and is_content(caption, noun) else index


def is_content(caption: Caption, index: int) -> bool:
    """Neither punctuation nor a function word nor an "-ing" form, which links a thing to what it does."""
    word = caption.words[index]
    return not (word.is_punctuation or word.key in FUNCTION_WORDS or _does(caption, index))


def content_words(caption: Caption) -> list[Word]:
    """A caption's content words, see `is_content`, that the model can read."""
    return [word for index, word in enumerate(caption.words) if word.positions and is_content(caption, index)]


def _does(caption: Caption, index: int) -> bool:
    """Whether a word is an "-ing" form; "a painting of a rose" is a thing, where a man "painting a rose" is at work."""
    words, key = caption.words, caption.words[index].key
    if not (key.endswith("ing") and len(key) > 5) or key in THINGS_IN_ING | FUNCTION_WORDS:
        return False
    if key not in MEDIA:
        return True
    before = words[index - 1] if index else None
    begins = before is None or before.is_punctuation or before.key in DETERMINERS | MEDIA
    following = {word.key for word in words[index + 1 : index + 2]}
    return not ("of" in following or (begins and not following & DETERMINERS))


def _moved(source: Caption, i: int, target: Caption, j: int) -> bool:
    """Whether a word stands elsewhere with its phrase, of which words may be missing on one side."""
    before, after = _phrase(source, i), _phrase(target, j)
    return before <= after or after <= before


def _phrase(caption: Caption, index: int) -> frozenset[str]:
    """The keys of the run of content words in which the word at `index` stands."""
    if not is_content(caption, index):
        return frozenset([caption.words[index].key])
    start = index
    while start > 0 and is_content(caption, start - 1):
        start -= 1
    return frozenset(word.key for word in caption.words[start : _end_of_run(caption, index) + 1])


def _changed(alignment: Alignment, reweighted: Sequence[Word]) -> tuple[set[int], set[int]]:
    """Indices of the words that the edit changes, of the source and of the target."""
    source, target = changed_words(alignment)
    return source, target | {j for j, word in enumerate(alignment.target.words) if word in reweighted}


def _content(caption: Caption, indices: set[int]) -> list[int]:
    """The content words among some; where there are none the "-ing" forms, else where the function words lead."""
    there = [index for index in sorted(indices) if caption.words[index].positions]
    content = [index for index in there if is_content(caption, index)]
    doing = [index for index in there if _does(caption, index)]
    leading = [index for index in indices if not caption.words[index].is_punctuation]
    led_to = {_next_noun(caption, index) for index in leading if caption.words[index].key not in ARTICLES}
    return content or doing or sorted(index for index in led_to if caption.words[index].positions)


def _next_noun(caption: Caption, index: int) -> int:
    """Index of the noun that a function word leads to ("vase" from "without" in "without a vase"); else its own."""
    if caption.words[index].key not in FUNCTION_WORDS:
        return index
    later = (k for k in range(index, len(caption.words)) if is_content(caption, k))
    return head_of(caption, next(later, index))


def _common_subsequence(caption: Caption, new: Caption) -> Iterator[tuple[int, int]]:
    """Index pairs of the heaviest common subsequence by `Word.key`; content words weigh more than all others."""
    source, target = caption.words, new.words
    rows, columns = len(source), len(target)
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    heavy = rows + columns + 1
    weights = [heavy if is_content(caption, i) else 1 for i in range(rows)]
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            best[i][j] = max(best[i + 1][j], best[i][j + 1])
            if source[i].key == target[j].key:
                best[i][j] = max(best[i][j], weights[i] + best[i + 1][j + 1])
    i = j = 0
    while i < rows and j < columns:
        if source[i].key == target[j].key and best[i][j] == weights[i] + best[i + 1][j + 1]:
            yield i, j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1


def _hand_over(matrix: torch.Tensor, source: list[int], target: list[int], one_by_one: bool) -> None:
    """The attention of one word's tokens falls to another's, by their positions."""
    if not target:
        return
    if one_by_one and len(source) == len(target):
        matrix[source, target] = 1.0
        return
    for position in source:
        matrix[position, target] = 1.0 / len(target)
