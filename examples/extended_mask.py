"""Extend the automatic mask, and protect a part of the photo."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from backbones import load_backbone
from editing import Editor
from editing.pictures.overlay import overlay_mask
from editing.pictures.sheet import draw_sheet


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    photo = load_sample_image("flower.jpg")
    bud = Image.new("L", (photo.shape[1], photo.shape[0]))
    ImageDraw.Draw(bud).ellipse((570, 388, 628, 470), fill=255)  # at the right of the lower edge
    left_half = np.zeros(photo.shape[:2], bool)
    left_half[:, :310] = True
    editor = Editor(load_backbone("bundled"), progress=True)
    trajectory = editor.invert(photo, "a photo of an orange flower", steps=steps)
    variants = {
        "automatic": {},
        "extended by a mask": {"include_mask": bud},
        "left half protected": {"exclude_mask": left_half},
    }
    panels = []
    for name, options in variants.items():
        result = editor.edit(trajectory, "a photo of a pink flower", attempts=1, **options)
        panels += [(f"{name}: mask", overlay_mask(result.photo.image, result.mask)), (name, result.image)]
    draw_sheet(panels, "the same edit under three masks").save(out / "extended_mask.png")


if __name__ == "__main__":
    main()
