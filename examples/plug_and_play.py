"""Prompt-to-prompt and plug-and-play side by side: what each keeps of a photo, as the model draws it and composited."""

from pathlib import Path

from sklearn.datasets import load_sample_image

from backbones import load_backbone
from backbones.photo import open_photo
from editing import Editor
from editing.pictures.sheet import draw_sheet
from studio.sheets import feature_sheet

CAPTIONS = ("a photo of a pink flower", "a photo of a white rose")
CONTROLS = {"prompt-to-prompt": "replace", "plug-and-play": "plug_and_play"}


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    photo, editor = open_photo(load_sample_image("flower.jpg")), Editor(load_backbone("bundled"), progress=True)
    trajectory = editor.invert(photo, "a photo of an orange flower", inversion="direct", steps=steps)
    feature_sheet(editor, trajectory, photo).save(out / "features.png")
    panels = [("photo", photo.image), ("the photo as the model has it", photo.image.resize((96, 64)))]
    for name, control in CONTROLS.items():
        for result in editor.edit_many(trajectory, CAPTIONS, control=control, attempts=1):
            new = result.settings["new_caption"].removeprefix("a photo of ")
            panels += [(f"{name}, {new}", result.image), (f"{name}, {new}, as drawn", result.drawn)]
    draw_sheet(panels, trajectory.caption, columns=2).save(out / "plug_and_play.png")


if __name__ == "__main__":
    main()
