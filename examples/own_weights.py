"""Edit with Stable Diffusion weights of your own.

    python examples/own_weights.py PHOTO "a photo of a cat" "a photo of a dog" --model FOLDER_OR_HUB_ID

`--model` takes a folder in diffusers' layout, a single .safetensors file, or a hub id such as
stable-diffusion-v1-5/stable-diffusion-v1-5, of any family that docs/models.md lists.
Negative-prompt inversion is the quick one; null-text, the default of `edit_real`, takes a little longer.
"""

from pathlib import Path
from typing import Annotated

import typer

from editing import edit_real


def main(
    photo: Path,
    caption: str,
    new_caption: str,
    model: Annotated[str, typer.Option(help="a folder, a file or a hub id")],
    out: Path = Path("out/examples/own_weights.png"),
    steps: int = 20,
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    result = edit_real(
        photo, caption, new_caption, model=model, inversion="negative_prompt", steps=steps, progress=True
    )
    result.sheet().save(out)
    print(result.metrics, *result.warnings, sep="\n")


if __name__ == "__main__":
    typer.run(main)
