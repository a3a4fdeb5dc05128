"""Byte pairs are merged by frequency, and a caption's tokens are its words' tokens."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from training.captions import known_words, random_caption, words_by_kind
from training.tokenizer import MAX_LENGTH, build_tokenizer, learn_merges, merge

ROWS = [
    {"kind": kind, "thing": thing, "things": thing + "s", "names": names, "color": color, "background": ground}
    for kind, thing, names, color, ground in (
        ("flower", "rose", [], "red", "green"),
        ("pet", "cat", [("bengal", "bengals")], None, None),
        ("fruit", "passion fruit", [], "purple", None),
    )
]


def test_merge_joins_every_occurrence() -> None:
    assert merge(("a", "b", "a", "b</w>", "a", "b"), ("a", "b")) == ("ab", "a", "b</w>", "ab")
    assert merge(("a", "a", "a"), ("a", "a")) == ("aa", "a")


def test_the_most_frequent_pair_comes_first() -> None:
    merges = learn_merges(Counter({"low": 5, "lot": 3, "on": 1}), 3)
    assert merges[0] == ("l", "o")
    assert merges[1] == ("lo", "w</w>")
    assert learn_merges(Counter({"ab": 1}), 10) == [("a", "b</w>")]


def test_word_by_word_equals_the_whole_caption(tmp_path: Path) -> None:
    tokenizer, rng = build_tokenizer(ROWS, tmp_path), np.random.default_rng(0)
    ids = {word: tokenizer(word, add_special_tokens=False)["input_ids"] for word in known_words(words_by_kind(ROWS))}
    for row in ROWS * 20:
        words = [word for word, _ in random_caption(row, rng)]
        whole = tokenizer(" ".join(words))["input_ids"]
        apart = [token for word in words for token in ids[word]]
        assert whole == [tokenizer.bos_token_id, *apart, tokenizer.eos_token_id]
        assert len(whole) <= MAX_LENGTH
    assert len(ids["rose"]) == 1
    few = build_tokenizer(ROWS, tmp_path / "few", merges=20)
    assert len(few("bengals", add_special_tokens=False)["input_ids"]) > 1
    assert len(tokenizer) == max(tokenizer.get_vocab().values()) + 1
