import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from backbones.loading import BUNDLED_FOLDER

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def assert_worth_looking_at(path: Path) -> None:
    with Image.open(path) as image:
        assert min(image.size) >= 100
        assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 30


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("edit_photo", ["edit_photo.png", "pink flower.png"]),
        ("many_edits", ["many_edits.png"]),
        ("fader", ["fader.png"]),
        ("heat_maps", ["heat_maps.png", "heat_maps_over_steps.png"]),
        ("generated_image", ["generated_image.png"]),
        ("extended_mask", ["extended_mask.png"]),
    ],
)
def test_an_example_writes_its_pictures(name: str, pictures: list[str], tmp_path: Path) -> None:
    load(name).main(tmp_path)
    for picture in pictures:
        assert_worth_looking_at(tmp_path / picture)


def test_compare_inpainting(tmp_path: Path) -> None:
    load("compare_inpainting").main(tmp_path, steps=10)
    for picture in ("compare_inpainting.png", "compare_inpainting/edit-real.png", "compare_inpainting/sheet.png"):
        assert_worth_looking_at(tmp_path / picture)
    assert (tmp_path / "compare_inpainting/index.html").exists()


def test_own_weights(tmp_path: Path) -> None:
    photo, out = tmp_path / "flower.png", tmp_path / "sheet.png"
    Image.fromarray(load_sample_image("flower.jpg")).save(photo)
    load("own_weights").main(
        photo, "a photo of an orange flower", "a photo of a white flower", str(BUNDLED_FOLDER), out
    )
    assert_worth_looking_at(out)


def test_every_example_is_tested() -> None:
    tested = {"edit_photo", "many_edits", "fader", "heat_maps", "generated_image", "extended_mask", "own_weights"}
    tested |= {"compare_inpainting"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested
