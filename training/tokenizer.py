"""A CLIP tokenizer with a small byte-pair vocabulary: common words are one token, rare ones are several."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from training.captions import random_caption

MAX_LENGTH = 32
MERGES = 400  # most words are one token, and so learn apart from others; the rarest stay in pieces


def learn_merges(counts: Counter[str], number: int) -> list[tuple[str, str]]:
    """The `number` most frequent pairs, merged one after the other (Sennrich et al., ACL 2016, algorithm 1)."""
    words = {(*word[:-1], word[-1] + "</w>"): count for word, count in counts.items()}
    merges = []
    for _ in range(number):
        pairs: Counter[tuple[str, str]] = Counter()
        for pieces, count in words.items():
            for pair in pairwise(pieces):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {merge(pieces, best): count for pieces, count in words.items()}
    return merges


def merge(pieces: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """`pieces` with every occurrence of `pair` joined."""
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return tuple(joined)


def build_tokenizer(rows: list[dict[str, Any]], folder: Path, merges: int = MERGES) -> CLIPTokenizer:
    """Learn a vocabulary from captions of `rows`, write it to `folder` and load it as diffusers does."""
    rng = np.random.default_rng(0)
    words = (word for row in rows for _ in range(4) for word, _ in random_caption(row, rng))
    counts = Counter(piece for word in words for piece in word.replace("-", " - ").split())
    pairs = learn_merges(counts, merges)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in pairs)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in pairs)]) + "\n")
    config = {"model_max_length": MAX_LENGTH, "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    return CLIPTokenizer.from_pretrained(folder)
