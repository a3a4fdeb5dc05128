"""Edit a photo by changing one word of its caption."""

from pathlib import Path

from sklearn.datasets import load_sample_image

from editing import edit_real


def main(out: Path = Path("out/examples"), steps: int = 20) -> None:
    out.mkdir(parents=True, exist_ok=True)
    photo = load_sample_image("flower.jpg")  # or the path of a photo of yours
    result = edit_real(photo, "a photo of an orange flower", "a photo of a pink flower", steps=steps, progress=True)
    result.save(out / "pink flower.png", overwrite=True)
    result.sheet().save(out / "edit_photo.png")
    print(result.metrics, *result.warnings, sep="\n")


if __name__ == "__main__":
    main()
