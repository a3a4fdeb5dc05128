"""Edit an image that the model itself generates from a caption and a seed."""

from pathlib import Path

from editing import edit_generated
from editing.pictures.sheet import draw_strip


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    caption = "a photo of a yellow tulip with a black background"
    panels = []
    for seed in (1, 2, 3):
        result = edit_generated(caption, caption.replace("yellow", "red"), seed=seed, steps=steps)
        panels += [(f"seed {seed}", result.photo.image), ("yellow → red", result.image)]
    draw_strip(panels, caption).save(out / "generated_image.png")


if __name__ == "__main__":
    main()
