"""Captions as people type them, with the role that each word plays in the photo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from training.colors import COLORS

SPECIES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
BACKGROUNDS = ("green", "blue", "black", "white")
OPENINGS = ("a photo of", "a photo of", "a photo of", "a close-up of", "a picture of", "")
BACKGROUND_PHRASES = (
    "with a {} background",
    "with a {} background",
    "on a {} background",
    "in front of a {} background",
)
GENERIC = ("object", "objects")  # for what has no word, wherever the thing's pixels are known
NO_ARTICLE = ("pants", "trousers", "shorts", "shoes", "garlic", "ginger", "asparagus", "fruit")
SINGULAR_IN_S = ("dress", "asparagus")
PAIRS = ("pants", "trousers", "shorts", "shoes")
SPELLINGS = {"gray": "grey"}
PLURAL_SHARE = {"fruit": 0.7, "flower": 0.12}  # shops show heaps
OTHER_PLURALS = 0.05

Caption = list[tuple[str, str]]
"""Words in order, each with its role: `object`, `color`, `background` or `other`."""


def article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def describe(noun: str, adjective: str | None = None, background: str | None = None) -> str:
    """The plain caption of a photo, such as "a photo of an orange tulip with a green background"."""
    described = f"{adjective} {noun}" if adjective else noun
    phrase = f" with a {background} background" if background else ""
    several = noun in NO_ARTICLE or (noun.endswith("s") and noun not in SINGULAR_IN_S)
    start = "" if several else article(described) + " "
    return f"a photo of {start}{described}{phrase}"


def caption_of(row: dict[str, Any]) -> tuple[str, str]:
    """A photo's plain caption, and the noun in it: a heap's is plural, as most shops' photos are."""
    noun = row["things"] if row["kind"] == "fruit" else row["thing"]
    return describe(noun, row.get("color")), noun


def random_caption(row: dict[str, Any], rng: np.random.Generator) -> Caption:
    """A caption of the photo that `row` describes; each part is sometimes left out, never wrong."""
    words = [(word, "other") for word in str(rng.choice(OPENINGS)).split()]
    singular, plural = choose_noun(row, rng)
    several = singular == plural or rng.random() < PLURAL_SHARE.get(row["kind"], OTHER_PLURALS)
    described = [(word, "object") for word in (plural if several else singular).split()]
    if row["color"] and rng.random() < (0.95 if row.get("dyed") else 0.8):
        color = row["color"]
        color = SPELLINGS[color] if color in SPELLINGS and rng.random() < 0.15 else color
        described.insert(0, (color, "color"))
    if singular in PAIRS and rng.random() < 0.15:
        words += [(word, "other") for word in ("a", "pair", "of")]
    elif not several:
        words.append((article(described[0][0]), "other"))
    return [*words, *described, *background_phrase(row, rng)]


def choose_noun(row: dict[str, Any], rng: np.random.Generator) -> tuple[str, str]:
    """A noun for what the photo shows, singular and plural: mostly the thing's own."""
    own, others = (row["thing"], row["things"]), [(one, many) for one, many in row["names"]]
    if row.get("has_object") and rng.random() < 0.1:
        return GENERIC
    if not others or rng.random() < 0.5:
        return own
    one, many = others[int(rng.integers(len(others)))]
    if row["kind"] == "pet" and rng.random() < 0.3:
        return f"{one} {own[0]}", f"{one} {own[1]}"
    return one, many


def background_phrase(row: dict[str, Any], rng: np.random.Generator) -> Caption:
    """Such as "with a green background", half of the time where the photo's background has such a name."""
    color = row.get("background")
    if color is None or rng.random() < 0.5:
        return []
    words = str(rng.choice(BACKGROUND_PHRASES)).replace("{}", color).split()
    return [(word, "background" if word in (color, "background") else "other") for word in words]


def words_by_kind(rows: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Every word that captions of these photos can hold, by what it is a word for, each list sorted."""
    phrases = " ".join((*OPENINGS, *BACKGROUND_PHRASES, "a an pair of")).replace("{}", "").split()
    words: dict[str, set[str]] = {"flower": set(), "pet": set(), "clothes": set(), "fruit": set(), "car": set()}
    for row in rows:
        for noun in (row["thing"], row["things"], *(noun for pair in row["names"] for noun in pair)):
            words[row["kind"]].add(noun)
    words |= {"anything": {*GENERIC}, "color": {*COLORS, *SPELLINGS.values()}, "phrase": {*phrases}}
    return {kind: sorted(found) for kind, found in words.items() if found}


def known_words(words: dict[str, Sequence[str]]) -> list[str]:
    """Every single word of `words_by_kind`, sorted."""
    return sorted({part for found in words.values() for phrase in found for part in phrase.split()})
