"""A caption as words, placed on a tokenizer's tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from transformers import CLIPTokenizer

from backbones.errors import EditRealError

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|(?:[^\w\s]|_)+")


@dataclass(frozen=True)
class Word:
    """A word of a caption, or a run of punctuation marks, which the tokenizer takes as one.

    Attributes:
        text: As typed.
        key: In lower case, for comparing.
        positions: Its tokens' positions in the encoded caption, counting the start token; empty where the caption
            was cut before it.
    """

    text: str
    key: str
    positions: tuple[int, ...]

    @property
    def is_punctuation(self) -> bool:
        return not any(letter.isalnum() for letter in self.text)


@dataclass(frozen=True)
class Caption:
    """A caption with its words placed on the tokens.

    Attributes:
        text: As typed.
        words: In order.
        input_ids: The padded token ids, `tokenizer.model_max_length` of them.
        cut: The words that lie beyond the model's tokens.
    """

    text: str
    words: tuple[Word, ...]
    input_ids: tuple[int, ...]
    cut: tuple[str, ...]

    @property
    def end(self) -> int:
        """Position of the first token after the last word: the end token, which padding repeats."""
        return 1 + sum(len(word.positions) for word in self.words)

    def find(self, name: str) -> tuple[Word, ...]:
        """Every occurrence of a word, whatever its case or the punctuation around it.

        Raises:
            EditRealError: The caption does not hold the word, or it was cut off.
        """
        keys = [match.group().casefold() for match in _WORD.finditer(name)]
        wanted = [key for key in keys if any(letter.isalnum() for letter in key)] or keys
        found = tuple(word for word in self.words if word.key in wanted and word.positions)
        if not found or {word.key for word in found} != set(wanted):
            present = ", ".join(repr(word.text) for word in self.words if word.positions and not word.is_punctuation)
            raise EditRealError(f"expected a word of the caption {self.text!r} ({present or 'empty'}), got {name!r}")
        return found


def parse_caption(tokenizer: CLIPTokenizer, text: str) -> Caption:
    """Splits a caption into words and finds each one's tokens.

    Raises:
        EditRealError: `text` is not a string, or holds characters that do not fall into words.
    """
    if not isinstance(text, str):
        raise EditRealError(f"expected a caption as text, got {type(text).__name__}")
    limit = tokenizer.model_max_length
    pieces = [match.group() for match in _WORD.finditer(text)]
    ids = [tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in pieces]
    if [token for part in ids for token in part] != list(tokenizer(text, add_special_tokens=False)["input_ids"]):
        raise EditRealError(f"expected a caption of plain words, got {text!r}, whose tokens cross its words; retype it")
    words: list[Word] = []
    cut: list[str] = []
    position = 1
    for piece, part in zip(pieces, ids, strict=True):
        fits = not cut and position + len(part) <= limit - 1
        positions = tuple(range(position, position + len(part))) if fits else ()
        if not fits:
            cut.append(piece)
        words.append(Word(piece, piece.casefold(), positions))
        position += len(positions)
    kept = [token for word, part in zip(words, ids, strict=True) if word.positions for token in part]
    padding = [tokenizer.pad_token_id] * (limit - len(kept) - 2)
    input_ids = (tokenizer.bos_token_id, *kept, tokenizer.eos_token_id, *padding)
    return Caption(text, tuple(words), input_ids, tuple(cut))
