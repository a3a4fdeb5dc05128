r"""Choose the benchmark's edits: photos evenly spread over a split, edits in turn, none of it by looks or results.

    python -m benchmarks.choose_edits --photos flower-photos-144.zip --photos pet-photos-144.zip \
        --photos clothes-photos-192.zip --photos fruit-photos-192.zip --photos car-photos-192.zip \
        --split test --out benchmarks/edits.json

`--split train` makes a list to choose settings on. The same archives always give the same list, and an archive less
leaves out the edits of its photos.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from backbones.errors import EditRealError
from benchmarks.edits import FIELDS
from training.archives import read_archive
from training.captions import BACKGROUNDS, SPECIES, caption_of, describe
from training.colors import FLOWER_COLORS
from workshop.command import run_command

Row = dict[str, Any]
Drafts = dict[Any, dict[str, Any]]
"""The edits of one sort that a photo allows, by what each asks for."""

SMALL = 0.35  # of the frame, which a small animal fills less of
ASKED = {
    "clothes": ("red", "blue", "green", "yellow", "purple", "pink", "white", "black", "orange"),
    "fruit": ("red", "green", "yellow", "purple", "orange"),
    "car": ("red", "blue", "yellow", "green", "white", "black"),
}
"""Colours that a thing of each kind is asked for."""


def swap_color(row: Row) -> Drafts:
    noun, color = row["flower"], row["color"]
    return {
        asked: _draft(describe(noun, color), describe(noun, asked), asked_color=asked)
        for asked in FLOWER_COLORS
        if asked != color
    }


def dye(row: Row) -> Drafts:
    """Another colour of a garment, a fruit or a car."""
    caption, noun = caption_of(row)
    return {
        asked: _draft(caption, describe(noun, asked), asked_color=asked)
        for asked in ASKED[row["kind"]]
        if row["color"] not in (None, asked)
    }


def swap_species(row: Row) -> Drafts:
    noun, color = row["flower"], row["color"]
    return {
        asked: _draft(describe(noun, color), describe(asked, color), asked_label=asked)
        for asked in SPECIES
        if asked != noun
    }


def swap_animal(row: Row) -> Drafts:
    asked = {"cat": "dog", "dog": "cat"}[row["animal"]]
    return {asked: _draft(describe(row["animal"]), describe(asked), asked_label=asked)}


def swap_background(row: Row) -> Drafts:
    noun, color, background = row["flower"], row["color"], row["background"]
    if background not in BACKGROUNDS:
        return {}
    caption = describe(noun, color, background)
    return {
        asked: _draft(caption, describe(noun, color, asked), asked_color=asked)
        for asked in BACKGROUNDS
        if asked not in (background, color)  # one word for both would leave open which of them it is about
    }


def add_color(row: Row) -> Drafts:
    noun = row["flower"]
    return {
        asked: _draft(describe(noun), describe(noun, asked), asked_color=asked)
        for asked in FLOWER_COLORS
        if asked != row["color"]
    }


def add_background(row: Row) -> Drafts:
    noun, color = row["flower"], row["color"]
    return {
        asked: _draft(describe(noun, color), describe(noun, color, asked), asked_color=asked)
        for asked in BACKGROUNDS
        if asked not in (row["background"], color)
    }


def remove_color(row: Row) -> Drafts:
    return {None: _draft(describe(row["flower"], row["color"]), describe(row["flower"]))}


def remove_background(row: Row) -> Drafts:
    noun, color, background = row["flower"], row["color"], row["background"]
    if background not in BACKGROUNDS:
        return {}
    return {None: _draft(describe(noun, color, background), describe(noun, color))}


def reweight_color(row: Row, *, weights: Sequence[float]) -> Drafts:
    return _reweighted(describe(row["flower"], row["color"]), row["color"], weights)


def reweight_breed(row: Row, *, weights: Sequence[float]) -> Drafts:
    breed = row["breed"]
    return _reweighted(describe(breed) if breed == "bulldog" else describe(row["animal"], breed), breed, weights)


def _reweighted(caption: str, word: str, weights: Sequence[float]) -> Drafts:
    return {weight: _draft(caption, caption, reweight={word: weight}) for weight in weights}


def _draft(caption: str, new_caption: str, **asked: Any) -> dict[str, Any]:
    return {
        "caption": caption,
        "new_caption": new_caption,
        "reweight": {},
        "asked_color": None,
        "asked_label": None,
        **asked,
    }


@dataclass(frozen=True)
class Recipe:
    """Edits of one sort.

    Attributes:
        kind: As `Edit.kind`.
        subject: As a row's `kind`: the photos that it is for.
        region: "object" or "background": what the changed words are about.
        number: Of edits for the group's number of photos.
        drafts: What a photo allows.
    """

    kind: str
    subject: str
    region: str
    number: int
    drafts: Callable[[Row], Drafts]


@dataclass(frozen=True)
class Group:
    """Photos that are chosen together, and the edits that they share among them.

    Attributes:
        number: Of photos.
        belongs: Whether a photo, whose object is known, is one of them.
        recipes: In the order of the list.
    """

    number: int
    belongs: Callable[[Row], bool]
    recipes: Sequence[Recipe]


def of_kind(*kinds: str) -> Callable[[Row], bool]:
    return lambda row: row["kind"] in kinds


def is_small_animal(row: Row) -> bool:
    return row["kind"] == "pet" and float(row["object"].mean()) < SMALL


STRONGER, WEAKER = (2.0,), (0.3, -1.0)

FLOWERS_AND_PETS = (
    Recipe("colour swap", "flower", "object", 36, swap_color),
    Recipe("species swap", "flower", "object", 12, swap_species),
    Recipe("species swap", "pet", "object", 12, swap_animal),
    Recipe("background swap", "flower", "background", 14, swap_background),
    Recipe("words added", "flower", "object", 8, add_color),
    Recipe("words added", "flower", "background", 6, add_background),
    Recipe("words removed", "flower", "object", 5, remove_color),
    Recipe("words removed", "flower", "background", 5, remove_background),
    Recipe("reweighting", "flower", "object", 5, partial(reweight_color, weights=STRONGER)),
    Recipe("reweighting", "flower", "object", 5, partial(reweight_color, weights=WEAKER)),
    Recipe("reweighting", "pet", "object", 3, partial(reweight_breed, weights=STRONGER)),
    Recipe("reweighting", "pet", "object", 3, partial(reweight_breed, weights=WEAKER)),
)
GROUPS = (
    Group(36, of_kind("flower", "pet"), FLOWERS_AND_PETS),
    Group(32, of_kind("clothes"), [Recipe("colour of clothes", "clothes", "object", 32, dye)]),
    Group(16, of_kind("fruit"), [Recipe("colour of fruit", "fruit", "object", 16, dye)]),
    Group(4, of_kind("car"), [Recipe("colour of a car", "car", "object", 12, dye)]),
    Group(8, is_small_animal, [Recipe("small animal", "pet", "object", 8, swap_animal)]),
)
"""The whole list, a group after the other."""


def choose_photos(archives: list[Path], split: str, share: float = 1.0) -> list[list[Row]]:
    """Each group's photos, `share` of its number, evenly spread over the split, the archives one after another."""
    rows = [row for path in archives for row in read_archive(path, split=split)]
    rows = [row for row in rows if row["object"] is not None]
    if not rows:
        raise EditRealError(f"expected photos of the split 'train' or 'test' in the archives, got none of {split!r}")
    return [_spread([row for row in rows if group.belongs(row)], group.number * share) for group in GROUPS]


def _spread(rows: Sequence[Row], number: float) -> list[Row]:
    number = min(max(round(number), 1), len(rows))
    return [rows[int(place)] for place in np.linspace(0, len(rows) - 1, number)]


def choose_edits(photos: Sequence[Sequence[Row]]) -> list[dict[str, Any]]:
    """The entries of the list, group after group, recipe after recipe, in numbers that go with that of the photos.

    `photos` are each group's.
    """
    edits_of: Counter[str] = Counter()
    entries: list[dict[str, Any]] = []
    for group, rows in zip(GROUPS, photos, strict=True):
        # The archives hold the photos by what they show: a tie between two must not always fall to the same.
        shuffled = [rows[index] for index in np.random.default_rng(0).permutation(len(rows))]
        for recipe in group.recipes:
            entries += _follow(recipe, round(recipe.number * len(rows) / group.number), shuffled, edits_of)
    return entries


def _follow(recipe: Recipe, number: int, rows: Sequence[Row], edits_of: Counter[str]) -> Iterator[dict[str, Any]]:
    """`number` of a recipe's edits: each of the photo with the fewest so far, asking for what was asked least."""
    drafts_of = {row["file_name"]: recipe.drafts(row) for row in rows if row["kind"] == recipe.subject}
    asked: Counter[Any] = Counter()
    for _ in range(number):
        names = [name for name, drafts in drafts_of.items() if drafts]
        if not names:
            return
        name = min(names, key=lambda name: edits_of[name])
        wish = min(drafts_of[name], key=lambda wish: asked[wish])
        edits_of[name] += 1
        asked[wish] += 1
        entry = {
            "name": f"{Path(name).stem}-{edits_of[name]}",
            "kind": recipe.kind,
            "file_name": name,
            "region": recipe.region,
            **drafts_of[name].pop(wish),
        }
        yield {field: entry[field] for field in FIELDS}


def main(
    photos: Annotated[list[Path], typer.Option(help="the photo archives")],
    out: Annotated[Path, typer.Option(help="the list to write")],
    split: Annotated[str, typer.Option(help="'train' for a list to choose settings on, 'test' to report")] = "test",
    share: Annotated[float, typer.Option(min=0.01, help="of the usual number of photos")] = 1.0,
) -> None:
    """Choose the edits and write their list, one a line."""
    entries = choose_edits(choose_photos(photos, split, share))
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    kinds = Counter(entry["kind"] for entry in entries)
    sources = {entry["file_name"] for entry in entries}
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    print(f"{len(entries)} edits of {len(sources)} {split} photos ({counts}) -> {out}")


if __name__ == "__main__":
    run_command(main)
