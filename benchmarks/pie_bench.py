"""PIE-Bench in the form in which it is handed out: a folder of photos, and one JSON file with prompts and masks.

Ju et al., "PnP Inversion: Boosting Diffusion-based Editing with 3 Lines of Code", ICLR 2024.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backbones.errors import EditRealError
from benchmarks.edits import Edit

KINDS = {
    "0": "random",
    "1": "change object",
    "2": "add object",
    "3": "delete object",
    "4": "change attribute content",
    "5": "change attribute pose",
    "6": "change attribute color",
    "7": "change attribute material",
    "8": "change background",
    "9": "change style",
}
FIELDS = {
    "image_path": str,
    "original_prompt": str,
    "editing_prompt": str,
    "editing_type_id": str,
    "blended_word": str,
    "mask": list,
}


def read_pie_bench(folder: Path) -> list[Edit]:
    """The edits of a PIE-Bench folder, in its order: `mapping_file.json` beside `annotation_images/`.

    The square brackets that mark the changed words are taken off the prompts. The region is the annotated mask with
    the outermost rows and columns added to it, as in the published evaluation (`decode_mask`). No edit asks for
    a colour or a label that could be checked by itself.

    Raises:
        EditRealError: A file is missing or cannot be read, or an entry is not as PIE-Bench has it.
    """
    path = folder / "mapping_file.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EditRealError(
            f"expected a PIE-Bench folder with mapping_file.json, got {folder}: {error}; unpack the benchmark there"
        ) from error
    if not (isinstance(entries, dict) and all(isinstance(entry, dict) for entry in entries.values())):
        raise EditRealError(f"expected a JSON object of entries by id, got something else in {path}; fetch it again")
    return [_to_edit(folder / "annotation_images", name, entry) for name, entry in entries.items()]


def decode_mask(runs: Sequence[int], height: int, width: int) -> np.ndarray:
    """A run-length encoded mask as `(H, W)` bool, True where the photo may change.

    The outermost rows and columns are set to True whatever the runs say, because annotations are unreliable there:
    the published evaluation does so, and figures are only comparable with the same pixels.

    Args:
        runs: First pixel and length of each run in turn, over the rows one after another; what lies past the end is
            cut off.
        height: H, in pixels.
        width: W, in pixels.

    Raises:
        EditRealError: An odd number of values, or one that is not a whole number from 0.
    """
    wrong = [value for value in runs if not (isinstance(value, int) and value >= 0)]
    if wrong or len(runs) % 2:
        got = repr(wrong[0]) if wrong else f"{len(runs)} values"
        raise EditRealError(
            f"expected a mask as pairs of first pixel and length, whole numbers from 0, got {got}; "
            "fetch the mapping file again"
        )
    size = height * width
    # Python's integers until they are cut: a file can hold larger ones than numpy's.
    starts, lengths = np.minimum(np.array(runs, object), size).astype(int).reshape(-1, 2).T
    edges = np.zeros(size + 1, int)
    np.add.at(edges, starts, 1)
    np.add.at(edges, np.minimum(starts + lengths, size), -1)
    mask = (edges.cumsum()[:size] > 0).reshape(height, width)
    mask[[0, -1]] = mask[:, [0, -1]] = True
    return mask


def _to_edit(images: Path, name: str, entry: Mapping[str, Any]) -> Edit:
    for field, type_ in FIELDS.items():
        if not isinstance(entry.get(field), type_):
            raise EditRealError(
                f"expected {field} as {type_.__name__} in every PIE-Bench entry, got {entry.get(field)!r} in {name}; "
                "fetch the mapping file again"
            )
    if entry["editing_type_id"] not in KINDS:
        raise EditRealError(f"expected an editing_type_id from '0' to '9', got {entry['editing_type_id']!r} in {name}")
    try:
        photo = np.array(Image.open(images / entry["image_path"]).convert("RGB"))
    except OSError as error:
        raise EditRealError(
            f"expected the photo of entry {name} at {images / entry['image_path']}: {error}; unpack the benchmark there"
        ) from error
    try:
        region = decode_mask(entry["mask"], *photo.shape[:2])
    except EditRealError as error:
        raise EditRealError(f"PIE-Bench entry {name}: {error}") from error
    caption, new_caption = (re.sub(r"[\[\]]", "", entry[key]) for key in ("original_prompt", "editing_prompt"))
    return Edit(
        name=name,
        kind=KINDS[entry["editing_type_id"]],
        source=entry["image_path"],
        photo=photo,
        caption=caption,
        new_caption=new_caption,
        region=region,
        reweight={},
        blend_words=_blend_words(entry["blended_word"], caption, new_caption),
        asked_color=None,
        asked_label=None,
    )


def _blend_words(blended: str, *captions: str) -> tuple[str, ...] | None:
    """The word of each caption that places the edit, as far as the caption holds it; None where there is none."""
    words = blended.split()
    if len(words) != len(captions):
        return None
    present = [re.findall(r"\w+(?:['’-]\w+)*", caption.casefold()) for caption in captions]
    found = [word for word, others in zip(words, present, strict=True) if word.casefold() in others]
    return tuple(dict.fromkeys(found)) or None
