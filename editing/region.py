"""What says where an edit takes place: words of the two captions, and what the user has painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backbones.errors import EditRealError
from backbones.text import Caption, Word
from editing.align import Alignment, added_things, edited_words, reweighted_words
from editing.settings import EditSettings
from masks.user_mask import read_mask


@dataclass(frozen=True, eq=False)
class EditRegion:
    """The words that place one edit, and the user's masks.

    Attributes:
        source_words: Of the old caption.
        target_words: Of the new one.
        added_words: Those of them that stand for none of the source's, which alone can tell where they are.
        source_protected: Words of the old caption that must not change.
        target_protected: Words of the new one that must not.
        include: `(H, W)` bool at the photo's size, or None.
        exclude: The same.
    """

    source_words: tuple[Word, ...]
    target_words: tuple[Word, ...]
    added_words: tuple[Word, ...]
    source_protected: tuple[Word, ...]
    target_protected: tuple[Word, ...]
    include: np.ndarray | None
    exclude: np.ndarray | None

    @property
    def holds_back(self) -> bool:
        """Whether the user keeps anything from the edit."""
        return bool(self.source_protected or self.target_protected or self.exclude is not None)

    @property
    def is_held_back(self) -> bool:
        """Whether that is all that the words of the source name."""
        if self.exclude is not None and self.exclude.all():
            return True
        return bool(self.source_words) and set(self.source_words) <= set(self.source_protected)


def find_region(alignment: Alignment, settings: EditSettings, photo_size: tuple[int, int]) -> EditRegion:
    """The region of an edit: the words that the settings name, else those that the captions' difference gives.

    Raises:
        EditRealError: A word that neither caption holds, or a mask that cannot be used.
    """
    source, target = alignment.source, alignment.target
    if settings.blend_words is None:
        source_words, target_words = edited_words(alignment, reweighted_words(alignment, settings.reweight))
        added = added_things(alignment, target_words)
    else:
        source_words, target_words = _find(settings.blend_words, source, target)
        replaced = {j: source.words[i] for i, j in (*alignment.matches, *alignment.swaps)}
        added = [word for word in target_words if replaced.get(target.words.index(word)) not in source_words]
    source_protected, target_protected = _find(settings.protect_words, source, target)
    include, exclude = (
        None if mask is None else read_mask(mask, photo_size, what)
        for mask, what in ((settings.include_mask, "include_mask"), (settings.exclude_mask, "exclude_mask"))
    )
    return EditRegion(
        source_words=tuple(source_words),
        target_words=tuple(target_words),
        added_words=tuple(added),
        source_protected=tuple(source_protected),
        target_protected=tuple(target_protected),
        include=include,
        exclude=exclude,
    )


def _find(names: Sequence[str], source: Caption, target: Caption) -> tuple[list[Word], list[Word]]:
    """The named words of each caption; one of the two must hold each of them."""
    found: tuple[list[Word], list[Word]] = ([], [])
    for name in names:
        errors = []
        for words, caption in zip(found, (source, target), strict=True):
            try:
                words += caption.find(name)
            except EditRealError as error:
                errors.append(error)
        if len(errors) == 2:
            raise EditRealError(f"expected a word of {source.text!r} or {target.text!r}, got {name!r}") from errors[0]
    return found
