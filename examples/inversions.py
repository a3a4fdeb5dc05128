"""One edit by every inversion: what each makes of the same photo and words, before anything is composited."""

from pathlib import Path

from sklearn.datasets import load_sample_image

from backbones import load_backbone
from editing import Editor
from editing.pictures.sheet import draw_sheet
from inversion.invert import METHODS

CAPTION, NEW = "a photo of an orange flower", "a photo of a pink flower"
SHORTER = {"cross_replace": 0.6, "self_replace": 0.2}  # windows that suit noises which do not depend on each other


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    photo, editor = load_sample_image("flower.jpg"), Editor(load_backbone("bundled"), progress=True)
    panels = []
    for name in METHODS:
        trajectory = editor.invert(photo, CAPTION, inversion=name, steps=steps)
        result = editor.edit(trajectory, NEW, attempts=1, **(SHORTER if name == "edit_friendly" else {}))
        panels += [(name, result.image), (f"{name}, as drawn", result.drawn)]
    draw_sheet(panels, NEW, columns=4).save(out / "inversions.png")


if __name__ == "__main__":
    main()
