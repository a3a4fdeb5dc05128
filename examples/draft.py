"""A draft without an inversion, beside an edit that takes its noise from the photo."""

from pathlib import Path

from sklearn.datasets import load_sample_image

from backbones import load_backbone
from editing import Editor
from editing.pictures.sheet import draw_strip

CAPTION, NEW = "a photo of an orange flower", "a photo of a pink flower"


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    photo, editor = load_sample_image("flower.jpg"), Editor(load_backbone("bundled"), progress=True)
    panels = []
    for name, inversion in (("draft", "none"), ("edit-friendly", "edit_friendly")):
        trajectory = editor.invert(photo, CAPTION, inversion=inversion, steps=steps, noise_seed=1)
        result = editor.edit(trajectory, NEW, attempts=1)
        panels += [(name, result.image), (f"{name}, mask", result.mask)]
    draw_strip([("photo", result.photo.image), *panels], NEW).save(out / "draft.png")


if __name__ == "__main__":
    main()
