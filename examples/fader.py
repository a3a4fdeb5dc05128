"""Turn one word up and down: a fader over its weight."""

from pathlib import Path

from sklearn.datasets import load_sample_image

from backbones import load_backbone
from editing import Editor, EditSettings
from editing.pictures.sheet import draw_strip

WEIGHTS = (-1.0, 0.0, 0.5, 1.0, 2.0, 4.0)


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    editor = Editor(load_backbone("bundled"), progress=True)
    trajectory = editor.invert(load_sample_image("flower.jpg"), "a photo of an orange flower", steps=steps)
    settings = [EditSettings(reweight={"pink": weight}, attempts=1) for weight in WEIGHTS]
    results = editor.edit_many(trajectory, ["a photo of a pink flower"] * len(WEIGHTS), settings)
    panels = [(f"pink x {w:g}", result.image) for w, result in zip(WEIGHTS, results, strict=True)]
    draw_strip(panels, "a photo of a pink flower, the weight of “pink” swept").save(out / "fader.png")


if __name__ == "__main__":
    main()
