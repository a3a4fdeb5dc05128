"""Captions as people type them, with the role that each word plays in the photo."""

from __future__ import annotations

from typing import Any

import numpy as np

SPECIES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
BREEDS = ("abyssinian", "bengal", "bulldog")
BACKGROUNDS = ("green", "blue", "black", "white")
OPENINGS = ("a photo of", "a photo of", "a photo of", "a close-up of", "a picture of", "")
BACKGROUND_PHRASES = (
    "with a {} background",
    "with a {} background",
    "on a {} background",
    "in front of a {} background",
)
PLURALS = {"daisy": "daisies", **{noun: noun + "s" for noun in (*SPECIES[1:], "flower")}}

Caption = list[tuple[str, str]]
"""Words in order, each with its role: `object`, `color`, `background` or `other`."""


def describe(noun: str, adjective: str | None = None, background: str | None = None) -> str:
    """The plain caption of a photo, such as "a photo of an orange tulip with a green background"."""
    described = f"{adjective} {noun}" if adjective else noun
    phrase = f" with a {background} background" if background else ""
    return f"a photo of {'an' if described[0] in 'aeiou' else 'a'} {described}{phrase}"


def random_caption(row: dict[str, Any], rng: np.random.Generator) -> Caption:
    """A caption of the photo that `row` describes; each part is sometimes left out, never wrong."""
    words = [(word, "other") for word in str(rng.choice(OPENINGS)).split()]
    if "animal" in row:
        names = {0: [row["breed"]], 1: [row["animal"]], 2: [row["breed"], row["animal"]]}[
            int(rng.choice(3, p=(0.4, 0.4, 0.2)))
        ]
        described = [(name, "object") for name in names]
    else:
        noun = "flower" if rng.random() < 0.3 else row["flower"]
        plural = rng.random() < 0.1
        described = [(PLURALS[noun] if plural else noun, "object")]
        if row["color"] and rng.random() < (0.95 if row.get("dyed") else 0.75):
            described.insert(0, (row["color"], "color"))
        if plural:
            return words + described + background_phrase(row, rng)
    article = "an" if described[0][0][0] in "aeiou" else "a"
    return [*words, (article, "other"), *described, *background_phrase(row, rng)]


def background_phrase(row: dict[str, Any], rng: np.random.Generator) -> Caption:
    """Such as "with a green background", half of the time where the photo's background has such a name."""
    color = row.get("background")
    if color not in BACKGROUNDS or rng.random() < 0.5:
        return []
    phrase = str(rng.choice(BACKGROUND_PHRASES))
    words = phrase.replace("{}", color).split()
    return [(word, "background" if word in (color, "background") else "other") for word in words]


def known_words() -> list[str]:
    """Every word that a caption can hold, sorted."""
    phrases = " ".join((*OPENINGS, *BACKGROUND_PHRASES)).replace("{}", "").split()
    colors = ("white", "yellow", "red", "pink", "orange", "purple", *BACKGROUNDS)
    return sorted({*phrases, "a", "an", *SPECIES, *PLURALS, *PLURALS.values(), *BREEDS, "cat", "dog", *colors})
