import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from backbones.hub import BUNDLED_FOLDER

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


PICTURES = {
    "edit_photo": ["edit_photo.png", "pink flower.png"],
    "many_edits": ["many_edits.png"],
    "fader": ["fader.png"],
    "heat_maps": ["heat_maps.png", "heat_maps_over_steps.png"],
    "generated_image": ["generated_image.png"],
    "extended_mask": ["extended_mask.png"],
    "compare_inpainting": [
        "compare_inpainting.png",
        "compare_inpainting/edit-real.png",
        "compare_inpainting/sheet.png",
    ],
    "mend_an_edit": ["mend_an_edit.jpg", "not_mended.jpg"],
    "own_weights": ["sheet.png"],
    "pipeline_in_memory": ["pipeline_in_memory.png"],
    "plug_and_play": ["plug_and_play.png", "features.png"],
    "draft": ["draft.png"],
    "inversions": ["inversions.png"],
}
"""What each example leaves in the folder that it is given."""
STEPS = 3  # show that an example runs; its pictures are worth looking at from some ten steps on


@pytest.mark.parametrize("name", [path.stem for path in sorted(EXAMPLES.glob("*.py"))])
def test_an_example_writes_its_pictures(name: str, tmp_path: Path) -> None:
    main = load(name).main
    if name == "own_weights":
        photo = tmp_path / "flower.png"
        Image.fromarray(load_sample_image("flower.jpg")).save(photo)
        captions = "a photo of an orange flower", "a photo of a white flower"
        main(photo, *captions, str(BUNDLED_FOLDER), tmp_path / "sheet.png", steps=STEPS)
    else:
        main(tmp_path, steps=STEPS)
    assert PICTURES[name]
    for picture in PICTURES[name]:
        assert_worth_looking_at(tmp_path / picture)
    assert (name == "compare_inpainting") == (tmp_path / "compare_inpainting/index.html").exists()
