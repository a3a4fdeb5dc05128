"""The photo archives, each read through one schema.

A row says what one photo shows:

- `file_name`, `archive`, `split` (`train` or `test`), and what the archive says of its source and licence;
- `kind`: `flower`, `pet`, `clothes`, `fruit` (vegetables too) or `car`;
- `thing` and its plural `things`, alike for what has no singular (pants, garlic);
- `names`: other nouns for it, each a pair of singular and plural, such as a breed or `flower`;
- `color` and `background`: colour words, or None where nothing trustworthy is known;
- `image` `(H, W, 3)` uint8 and `object`, boolean `(H, W)`, or None where the object's pixels are not known;
- `border`, boolean `(H, W)`: pixels between thing and ground of which those who drew the mask say no more, or None.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.colors import COLORS
from training.fruit_colors import FRUIT_COLORS
from training.objects import refine_mask, segment_by_color

LOW_CONFIDENCE = {"flower": 0.25, "clothes": 0.5}  # a colour guessed with less is not told
LOW_SEPARATION = 1.5  # a garment's mask is not used where its colours stand out less from the ground
PLURALS = {
    **{
        noun: noun + "s"
        for noun in "dandelion rose sunflower tulip shirt t-shirt jacket dress hat skirt hoodie".split()
    },
    **{
        noun: noun + "s" for noun in "cat dog abyssinian bengal bulldog pointer pomeranian car flower vegetable".split()
    },
    "daisy": "daisies",
    "dress": "dresses",
    "havanese": "havanese",
    "maine coon": "maine coons",
    "fruit": "fruit",
}
SINGULARS = {"carrots": "carrot", "satsumas": "satsuma", "brown-cap-mushrooms": "mushroom"}
SYNONYMS = {"pants": ("trousers", "trousers"), "aubergine": ("eggplant", "eggplants")}
OWN_FIELDS = ("file_name", "split", "source", "license", "owner", "label", "flower", "animal", "breed")


def read_archive(
    path: Path, names: Collection[str] | None = None, split: str | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of the archive's photos, or of those of the given names or split, with their pixels."""
    with zipfile.ZipFile(path) as archive:
        for given in map(json.loads, archive.read("metadata.jsonl").splitlines()):
            if (names is not None and given["file_name"] not in names) or split not in (None, given["split"]):
                continue
            image = np.array(Image.open(io.BytesIO(archive.read(given["file_name"]))).convert("RGB"))
            mask = np.array(Image.open(io.BytesIO(archive.read(given["mask"])))) if given.get("mask") else None
            row = {**describe_photo(given), "archive": path.stem, "image": image}
            border = mask == 3 if row["kind"] == "pet" and mask is not None else None
            yield {**row, "object": find_object(given, row, image, mask), "border": border}


def photos_of(archives: list[Path], split: str, number: int) -> list[dict[str, Any]]:
    """`number` photos of each archive's split whose thing's pixels are known, evenly spread over it."""
    chosen = []
    for archive in archives:
        rows = [row for row in read_archive(archive, split=split) if row["object"] is not None]
        chosen += [rows[int(i)] for i in np.linspace(0, len(rows) - 1, min(number, len(rows)))]
    return chosen


def describe_photo(given: dict[str, Any]) -> dict[str, Any]:
    """One archive's row in the common schema, without its pixels."""
    kind = kind_of(given)
    row = {name: given[name] for name in OWN_FIELDS if given.get(name)} | {"kind": kind, "names": []}
    thing = str(given.get("thing") or given.get("animal") or given["flower"])
    if kind == "flower":
        row["names"] = [("flower", "flowers")]
    elif kind == "pet":
        row["names"] = [(given["breed"], PLURALS[given["breed"]])]
    elif kind == "fruit":
        generic = given["label"].split("/")[0].removesuffix("s").lower()
        row["names"] = [(generic, PLURALS[generic])]
    things = given.get("things") or PLURALS.get(thing, thing)
    if things in SINGULARS:
        thing, things = SINGULARS[things], SINGULARS[things] + "s"
    if thing in SYNONYMS:
        row["names"].append(SYNONYMS[thing])
    color, background = color_of(given, kind), given.get("background")
    return {**row, "thing": thing, "things": things, "color": color, "background": background}


def kind_of(given: dict[str, Any]) -> str:
    if "animal" in given:
        return "pet"
    if "flower" in given:
        return "flower"
    if "things" in given:
        return "fruit"
    return "car" if given["thing"] == "car" else "clothes"


def color_of(given: dict[str, Any], kind: str) -> str | None:
    """The colour word of the photo's thing, where it can be trusted.

    A fruit's is what its sort is known for; the guess from its pixels only decides between those.
    """
    color = given.get("color")
    if kind == "fruit":
        known = FRUIT_COLORS.get(given["label"].split("/")[-1], ())
        return known[0] if len(known) == 1 else color if color in known else None
    if color not in COLORS or given.get("color_confidence", 1.0) < LOW_CONFIDENCE.get(kind, 0.0):
        return None
    return str(color)


def find_object(
    given: dict[str, Any], row: dict[str, Any], image: np.ndarray, mask: np.ndarray | None
) -> np.ndarray | None:
    """The pixels of the photo's thing, where they can be trusted."""
    kind = row["kind"]
    if kind == "pet":
        # The trimap's border is half animal: it counts as animal, since a map is judged on what it must not miss.
        return None if mask is None else mask != 2
    if kind == "clothes":
        return None if mask is None or given["separation"] < LOW_SEPARATION else refine_mask(image, mask > 0)
    return segment_by_color(image, row["color"], kind) if row["color"] else None
