"""Where the model sees each word: averaged, and from noise to photo."""

from pathlib import Path

from sklearn.datasets import load_sample_image

from backbones import load_backbone
from backbones.photo import open_photo
from editing import Editor
from studio.sheets import attention_sheet


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    photo = open_photo(load_sample_image("flower.jpg"))
    editor = Editor(load_backbone("bundled"), progress=True)
    caption = "a photo of an orange flower on a green background"
    trajectory = editor.invert(photo, caption, inversion="direct", steps=steps)
    attention_sheet(editor, trajectory, photo).save(out / "heat_maps.png")
    attention_sheet(editor, trajectory, photo, over_steps=True).save(out / "heat_maps_over_steps.png")


if __name__ == "__main__":
    main()
