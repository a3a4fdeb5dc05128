"""Invert a photo once and edit it many times, in one batch."""

from pathlib import Path

from sklearn.datasets import load_sample_image

from backbones import load_backbone
from editing import Editor
from editing.pictures.sheet import draw_strip

COLORS = ("pink", "red", "yellow", "purple", "white")


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    editor = Editor(load_backbone("bundled"), progress=True)
    trajectory = editor.invert(load_sample_image("flower.jpg"), "a photo of an orange flower", steps=steps)
    trajectory.save(out / "flower.safetensors")  # Trajectory.load brings it back, today or next week
    results = editor.edit_many(trajectory, [f"a photo of a {color} flower" for color in COLORS])
    panels = [("photo", results[0].photo.image), *((c, r.image) for c, r in zip(COLORS, results, strict=True))]
    draw_strip(panels, "one inversion, five edits").save(out / "many_edits.png")


if __name__ == "__main__":
    main()
