"""A bad edit, mended one setting at a time; and what no setting mends."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_sample_image

from backbones import load_backbone
from editing import Editor, EditResult, EditSettings
from editing.pictures.overlay import overlay_mask
from editing.pictures.sheet import draw_sheet

CAPTION, WHITE = "a photo of an orange flower", "a photo of a white flower"
NOT_THE_LOWER = np.zeros((427, 640), np.uint8)  # of the photo's size; white is never edited
NOT_THE_LOWER[362:, 280:] = 255

MENDED: dict[str, dict[str, Any]] = {
    "1. the mask is too large": {"mask_rule": "published"},
    "2. the default rule: white all over": {},
    "3. reweight={'white': 0.3}": {"reweight": {"white": 0.3}},
    "4. and an exclude_mask": {"reweight": {"white": 0.3}, "exclude_mask": NOT_THE_LOWER},
}
NOT_MENDED: dict[str, tuple[str, dict[str, Any]]] = {
    "a rose": ("a photo of an orange rose", {}),
    "a rose, self_replace=0": ("a photo of an orange rose", {"self_replace": 0.0}),
    "a rose, control='mutual'": ("a photo of an orange rose", {"control": "mutual"}),
    "a cat": ("a photo of a cat", {}),
}


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    editor = Editor(load_backbone("bundled"), progress=True)
    trajectory = editor.invert(load_sample_image("flower.jpg"), CAPTION, inversion="direct", steps=steps)

    mended = editor.edit_many(
        trajectory, [WHITE] * len(MENDED), [EditSettings(attempts=1, **one) for one in MENDED.values()]
    )
    draw(dict(zip(MENDED, mended, strict=True)), f"{CAPTION}  →  {WHITE}", out / "mend_an_edit.jpg")

    captions, options = zip(*NOT_MENDED.values(), strict=True)
    kept = editor.edit_many(trajectory, captions, [EditSettings(attempts=1, **one) for one in options])
    draw(dict(zip(NOT_MENDED, kept, strict=True)), "what no setting mends", out / "not_mended.jpg")


def draw(results: dict[str, EditResult], title: str, path: Path) -> None:
    """The edits in a row, their masks below."""
    edits = [(name, result.image) for name, result in results.items()]
    masks = [("its mask", overlay_mask(result.photo.image, result.mask)) for result in results.values()]
    draw_sheet([*edits, *masks], title, columns=len(results)).save(path, quality=90)
    for name, result in results.items():
        print(f"{name}: {result.metrics['mask_share']:.0f} % masked, {result.metrics['change_inside']:.0f} % changed")


if __name__ == "__main__":
    main()
