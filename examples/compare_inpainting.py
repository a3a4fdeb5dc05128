"""An edit beside mask-based inpainting of the same photo, under the edit's own mask and under one drawn by hand."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_sample_image

from editing import compare_with_inpainting


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    photo = load_sample_image("flower.jpg")
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    around_the_flower = np.hypot((x - 325) / 190, (y - 195) / 165) < 1
    comparison = compare_with_inpainting(
        photo,
        "a photo of an orange flower",
        "a photo of a pink flower",
        mask=around_the_flower,
        steps=steps,
        progress=True,
    )
    comparison.save(out / "compare_inpainting", overwrite=True)  # open index.html in a browser
    comparison.sheet().save(out / "compare_inpainting.png")
    print(comparison.table())


if __name__ == "__main__":
    main()
