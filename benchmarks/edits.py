"""The benchmark's edits of real photos: what each one asks, and the pixels that it is about.

The list is `edits.json`, made by `benchmarks/choose_edits.py`; the photos stay in their archives.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbones.errors import EditRealError
from training.archives import read_archive
from training.captions import BACKGROUNDS
from training.classifier import LABELS
from training.colors import FLOWER_COLORS

LIST = Path(__file__).with_name("edits.json")
COLORS = (*FLOWER_COLORS, *BACKGROUNDS)
FIELDS = ("name", "kind", "file_name", "caption", "new_caption", "region", "reweight", "asked_color", "asked_label")


@dataclass(frozen=True, eq=False)
class Edit:
    """One edit of one photo, with what is needed to judge it.

    Attributes:
        name: Unique in its list, and fit for a file name.
        kind: Such as "colour swap"; in PIE-Bench, its type of editing.
        source: The photo's name; edits of one photo share it.
        photo: `(H, W, 3)` uint8.
        caption: What the photo shows.
        new_caption: What it should show.
        region: `(H, W)` bool, ground truth: the pixels that the changed or reweighted words are about.
        reweight: Words of the new caption with what their attention is multiplied by; empty where nothing is.
        blend_words: The words that place the edit, where the list names them.
        asked_color: The colour that the region should have, a key of `training.colors.color_masks`, where one is asked.
        asked_label: What the photo should show, one of `training.classifier.LABELS`, where it is asked.
        border: `(H, W)` bool, pixels at the region's edge that the ground truth leaves open, though it must put them on
            one side; None where it leaves none.
    """

    name: str
    kind: str
    source: str
    photo: np.ndarray
    caption: str
    new_caption: str
    region: np.ndarray
    reweight: Mapping[str, float]
    blend_words: tuple[str, ...] | None
    asked_color: str | None
    asked_label: str | None
    border: np.ndarray | None = None


def read_edits(archives: list[Path], path: Path = LIST) -> list[Edit]:
    """The edits of the list whose photos are in the archives, in the list's order.

    The region is the photo's object or all the rest. An animal's pixels were drawn by people, who left a border open
    that counts as animal; a flower's are found by `training.objects.segment_by_color`.

    Args:
        archives: Of photos; edits of photos that lie in another archive are left out.
        path: The list, as `benchmarks.choose_edits` writes it.

    Raises:
        EditRealError: The list or an archive cannot be read, or no archive holds any photo of the list.
    """
    entries = _read_list(path)
    names = {entry["file_name"] for entry in entries}
    rows = {name: row for archive in archives for name, row in _read_photos(archive, names).items()}
    if not rows:
        given = ", ".join(map(str, archives)) or "none"
        raise EditRealError(
            f"expected archives with the photos of {path}, such as {entries[0]['file_name']}, got {given}; "
            "give those that the list was made from"
        )
    return [_to_edit(entry, rows[entry["file_name"]]) for entry in entries if entry["file_name"] in rows]


def _read_list(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EditRealError(
            f"expected a list of edits as JSON, got {path}: {error}; make one with python -m benchmarks.choose_edits"
        ) from error
    if not (isinstance(entries, list) and entries and all(isinstance(entry, dict) for entry in entries)):
        raise EditRealError(f"expected a JSON list of edits, each an object, got something else in {path}")
    for number, entry in enumerate(entries, start=1):
        if missing := [field for field in FIELDS if field not in entry]:
            raise EditRealError(f"expected {', '.join(FIELDS)} of every edit, got number {number} without {missing[0]}")
        if entry["region"] not in ("object", "background"):
            raise EditRealError(f"expected the region 'object' or 'background', got {entry['region']!r}: {path}")
        if entry["asked_color"] not in (None, *COLORS) or entry["asked_label"] not in (None, *LABELS):
            asked = f"{entry['asked_color']!r} and {entry['asked_label']!r}"
            raise EditRealError(f"expected a colour and a label that can be judged, got {asked}: {path}")
    names = [entry["name"] for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EditRealError(f"expected a name of its own for every edit, got {twice[0]!r} twice in {path}")
    return entries


def _read_photos(archive: Path, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """The rows of those photos that the archive holds, by name, each with its `image` and `object` mask."""
    try:
        return {row["file_name"]: row for row in read_archive(archive, names)}
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise EditRealError(
            f"expected a zip archive of photos with their metadata.jsonl, got {archive}: {error}; fetch it again"
        ) from error


def _to_edit(entry: Mapping[str, Any], row: Mapping[str, Any]) -> Edit:
    if row["object"] is None:
        raise EditRealError(f"expected a photo whose object is known, got {entry['file_name']}; choose the edits again")
    return Edit(
        name=entry["name"],
        kind=entry["kind"],
        source=entry["file_name"],
        photo=row["image"],
        caption=entry["caption"],
        new_caption=entry["new_caption"],
        region=row["object"] if entry["region"] == "object" else ~row["object"],
        reweight=entry["reweight"],
        blend_words=None,
        asked_color=entry["asked_color"],
        asked_label=entry["asked_label"],
        border=row["border"],
    )
