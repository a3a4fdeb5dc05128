"""A caption as words, placed on a tokenizer's tokens."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backbones.errors import EditRealError

# An apostrophe before a word is taken with it, as tokenizers do before "s", "t" and others.
_WORD = re.compile(r"['’]?[^\W_]+(?:['’-][^\W_]+)*|(?:[^\w\s]|_)+")


@dataclass(frozen=True)
class Word:
    """A word of a caption, or a run of punctuation marks, which the tokenizer takes as one.

    Attributes:
        text: As typed.
        key: In lower case without an apostrophe before it, for comparing.
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
class Tokens:
    """A caption as one tokenizer cuts it.

    Attributes:
        input_ids: The padded token ids.
        first: Position of the first of them among all tokens that the denoiser is told.
        begin: Position of the first token of a word: after the start token, where there is one.
        end: Position of the first token after the last word: the end token, before padding.
    """

    input_ids: tuple[int, ...]
    first: int
    begin: int
    end: int

    @property
    def stop(self) -> int:
        """The position after the last."""
        return self.first + len(self.input_ids)

    def of(self, word: Word) -> list[int]:
        """The positions of a word's tokens that are among these."""
        return [position for position in word.positions if self.first <= position < self.stop]


@dataclass(frozen=True)
class Caption:
    """A caption with its words placed on the tokens.

    Attributes:
        text: As typed, in Unicode's composed form.
        words: In order.
        sequences: Its tokens, one sequence after another where a denoiser is told the words by several tokenizers.
        cut: The words that lie beyond the model's tokens.
    """

    text: str
    words: tuple[Word, ...]
    sequences: tuple[Tokens, ...]
    cut: tuple[str, ...]

    @property
    def input_ids(self) -> tuple[int, ...]:
        """The padded token ids of the first sequence."""
        return self.sequences[0].input_ids

    @property
    def end(self) -> int:
        """Position of the first token after the last word in the first sequence."""
        return self.sequences[0].end

    @property
    def length(self) -> int:
        """How many tokens the denoiser is told in all."""
        return self.sequences[-1].stop

    def find(self, name: str) -> tuple[Word, ...]:
        """Every occurrence of a word, whatever its case or the punctuation around it.

        Raises:
            EditRealError: The caption does not hold the word, or it was cut off.
        """
        name = unicodedata.normalize("NFC", name)
        keys = [_key(match.group()) for match in _WORD.finditer(name)]
        wanted = [key for key in keys if any(letter.isalnum() for letter in key)] or keys
        if any(word.key == name.strip().casefold() for word in self.words):  # such as <my-cat>, a token of its own
            wanted = [name.strip().casefold()]
        found = tuple(word for word in self.words if word.key in wanted and word.positions)
        if not found or {word.key for word in found} != set(wanted):
            present = ", ".join(repr(word.text) for word in self.words if word.positions and not word.is_punctuation)
            raise EditRealError(f"expected a word of the caption {self.text!r} ({present or 'empty'}), got {name!r}")
        return found


def parse_caption(tokenizer: Any, text: str, *, first: int = 0, limit: int | None = None) -> Caption:
    """Splits a caption into words and finds each one's tokens.

    Args:
        tokenizer: CLIP's, which puts a token before the words, or one like T5's, which does not.
        text: The caption.
        first: Position of the first token.
        limit: How many tokens there are with padding; `tokenizer.model_max_length` by default.

    Raises:
        EditRealError: `text` is not a string, or holds characters that do not fall into words.
    """
    if not isinstance(text, str):
        raise EditRealError(f"expected a caption as text, got {type(text).__name__}")
    text = unicodedata.normalize("NFC", text)  # as tokenizers do; files' names have it otherwise on some machines
    limit = limit or int(tokenizer.model_max_length)
    opening = () if tokenizer.bos_token_id is None else (int(tokenizer.bos_token_id),)
    pieces, ids = (_by_pieces if opening else _by_offsets)(tokenizer, text)
    words: list[Word] = []
    cut: list[str] = []
    kept: list[int] = []
    for piece, part in zip(pieces, ids, strict=True):
        fits = not cut and len(opening) + len(kept) + len(part) <= limit - 1
        begin = first + len(opening) + len(kept)
        words.append(Word(piece, _key(piece), tuple(range(begin, begin + len(part))) if fits else ()))
        if fits:
            kept += part
        else:
            cut.append(piece)
    padding = [int(tokenizer.pad_token_id)] * (limit - len(opening) - len(kept) - 1)
    input_ids = (*opening, *kept, int(tokenizer.eos_token_id), *padding)
    begin = first + len(opening)
    return Caption(text, tuple(words), (Tokens(input_ids, first, begin, begin + len(kept)),), tuple(cut))


def join_captions(parts: Sequence[Caption]) -> Caption:
    """One caption of the same text as several tokenizers cut it, whose tokens follow one another."""
    words = tuple(
        dataclasses.replace(same[0], positions=tuple(position for word in same for position in word.positions))
        for same in zip(*(part.words for part in parts), strict=True)
    )
    cut = min((part.cut for part in parts), key=len)
    return Caption(parts[0].text, words, tuple(tokens for part in parts for tokens in part.sequences), cut)


def _by_pieces(tokenizer: Any, text: str) -> tuple[list[str], list[list[int]]]:
    """Words, and each one's tokens as the tokenizer cuts it alone; they must be those of the whole text.

    Tokens that textual inversion has added are words. Where one has several vectors, all of them stand for it.
    """
    added = _added_tokens(tokenizer)
    pattern = re.compile("|".join([*map(re.escape, sorted(added, key=len, reverse=True)), _WORD.pattern]))
    pieces = [match.group() for match in pattern.finditer(text)]
    spelled = [" ".join(added.get(piece, [piece])) for piece in pieces]
    ids = [list(tokenizer(piece, add_special_tokens=False)["input_ids"]) for piece in spelled]
    whole = pattern.sub(lambda match: " ".join(added.get(match.group(), [match.group()])), text)
    # Not verbose: what is too long is cut, and nothing fails of it.
    if [token for part in ids for token in part] != list(
        tokenizer(whole, add_special_tokens=False, verbose=False)["input_ids"]
    ):
        raise _crossed(text)
    return pieces, ids


def _by_offsets(tokenizer: Any, text: str) -> tuple[list[str], list[list[int]]]:
    """Words, and each one's tokens by where these begin and end in the text; a space is part of the word behind it."""
    matches = list(_WORD.finditer(text))
    ids: list[list[int]] = [[] for _ in matches]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        touched = [i for i, match in enumerate(matches) if match.start() < end and start < match.end()]
        if not text[start:end].strip():
            touched = [i for i, match in enumerate(matches) if end <= match.start()][:1]
            if not touched:  # at the end
                continue
        if len(touched) != 1:
            raise _crossed(text)
        ids[touched[0]].append(token)
    return [match.group() for match in matches], ids


def _key(piece: str) -> str:
    """What a word is compared by; punctuation is compared as it is."""
    return (piece.lstrip("'’") or piece).casefold()


def _added_tokens(tokenizer: Any) -> dict[str, list[str]]:
    """Tokens that were added to the vocabulary, each with those of its further vectors, such as `<cat>_1`."""
    special = set(tokenizer.all_special_tokens)
    added = [token for token in tokenizer.get_added_vocab() if token not in special]
    return {
        token: [token, *sorted((other for other in added if re.fullmatch(re.escape(token) + r"_\d+", other)), key=len)]
        for token in added
    }


def _crossed(text: str) -> EditRealError:
    return EditRealError(f"expected a caption of plain words, got {text!r}, whose tokens cross its words; retype it")
