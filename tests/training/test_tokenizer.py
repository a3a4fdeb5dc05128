"""Byte pairs are merged by frequency, and a caption's tokens are its words' tokens."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from training.captions import known_words, random_caption
from training.tokenizer import MAX_LENGTH, build_tokenizer, choose_tokenizer, learn_merges, merge

ROWS = [{"flower": "rose", "color": "red", "background": "green"}, {"animal": "cat", "breed": "bengal"}]


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
    ids = {word: tokenizer(word, add_special_tokens=False)["input_ids"] for word in known_words()}
    for row in ROWS * 20:
        words = [word for word, _ in random_caption(row, rng)]
        whole = tokenizer(" ".join(words))["input_ids"]
        apart = [token for word in words for token in ids[word]]
        assert whole == [tokenizer.bos_token_id, *apart, tokenizer.eos_token_id]
        assert len(whole) <= MAX_LENGTH
    assert len(ids["rose"]) == 1
    assert len(ids["abyssinian"]) > 1
    assert len(tokenizer) == max(tokenizer.get_vocab().values()) + 1


def test_a_run_has_the_tokens_of_the_weights_that_it_goes_on_from(tmp_path: Path) -> None:
    other = [{"animal": "cat", "breed": "bengal"}]
    first = build_tokenizer(ROWS, tmp_path / "first" / "tokenizer").get_vocab()
    folder = tmp_path / "second" / "tokenizer"
    fresh = choose_tokenizer(other, folder, start_from=None, resumed=False).get_vocab()
    assert fresh != first
    assert choose_tokenizer(other, folder, start_from=tmp_path / "first", resumed=False).get_vocab() == first
    assert choose_tokenizer(other, folder, start_from=None, resumed=True).get_vocab() == first
