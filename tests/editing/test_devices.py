"""What must hold on every device: the CPU always, CUDA where there is one.

The tests of CUDA bear the marker `gpu`. Where a test compares with the CPU, its latents decide and not its bytes, since
devices add up in other orders.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from backbones.loading import load_backbone
from backbones.photo import open_photo
from benchmarks.meta import META, live_tensors
from editing.editor import Editor
from editing.maps import look_for_words
from editing.plan import plan_edit
from editing.result import EditResult
from editing.sample import sample_edits
from editing.settings import EditSettings
from editing.views import look_again
from inversion.trajectory import Trajectory
from tests.editing.edits import CAPTION, NEW, assert_untouched_outside, edit, picture, pixels

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

LEVELS = {torch.bfloat16: 8.0, torch.float16: 1.0}
"""Of 255, that the formats' 8 and 11 digits may come to, after guidance at 7.5."""

NO_CUDA = not torch.cuda.is_available()
CUDA = pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(NO_CUDA, reason="there is no CUDA device")])


@pytest.fixture(params=["cpu", CUDA])
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def there(model_folder: Path, device: str) -> Backbone:
    """The tiny model in float32 on the device."""
    return load_backbone(model_folder, device, torch.float32)


def drawn(result: EditResult) -> np.ndarray:
    """What the model drew, `(h, w, 3)`."""
    return pixels(result.drawn)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("inversion", ["direct", "null_text", "null_text_search"])
def test_an_edit_in_half_precision_is_near_that_in_float32(
    model_folder: Path, there: Backbone, dtype: torch.dtype, inversion: str
) -> None:
    options = {"inversion": inversion, "steps": 4, "max_inner_steps": 2, "local_blend": False}
    half = load_backbone(model_folder, there.device, dtype)
    assert (half.dtype, half.vae.dtype) == (dtype, torch.float32)
    result, reference = (edit(Editor(backbone), picture(), **options) for backbone in (half, there))
    for tensor in (result.trajectory.latents, result.trajectory.uncond.embeds):
        assert tensor.dtype == torch.float32 and torch.isfinite(tensor).all()
    assert result.trajectory.dtype == half.dtype_name
    assert np.abs(drawn(result) - drawn(reference)).mean() < LEVELS[dtype]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_an_edit_in_half_precision_leaves_the_photo_alone_outside_the_mask(
    model_folder: Path, device: str, dtype: torch.dtype
) -> None:
    result = edit(Editor(load_backbone(model_folder, device, dtype)), picture())
    assert_untouched_outside(result, picture())
    assert np.isfinite(result.metrics["ceiling_psnr"])


def test_an_edit_is_what_it_is_on_the_cpu(editor: Editor, there: Backbone) -> None:
    options = {"local_blend": False, "steps": 4}
    found, expected = (edit(one, picture(), **options) for one in (Editor(there), editor))
    assert np.abs(drawn(found) - drawn(expected)).max() <= 3
    torch.testing.assert_close(found.trajectory.latents.cpu(), expected.trajectory.latents, atol=5e-3, rtol=5e-3)


def test_an_inversion_saved_on_the_cpu_serves_on_every_device(editor: Editor, there: Backbone, tmp_path: Path) -> None:
    trajectory = editor.invert(picture(), CAPTION, steps=4, max_inner_steps=1)
    trajectory.save(tmp_path / "rose.safetensors")
    loaded = Trajectory.load(tmp_path / "rose.safetensors")
    assert loaded.latents.device.type == "cpu"
    found = Editor(there).edit(loaded, NEW, photo=picture(), local_blend=False)
    expected = editor.edit(trajectory, NEW, local_blend=False)
    assert np.abs(drawn(found) - drawn(expected)).max() <= 3
    assert np.array_equal(np.asarray(found.mask), np.asarray(expected.mask))
    assert there.fingerprint == editor.backbone.fingerprint


def test_an_inversion_made_on_any_device_serves_on_the_cpu(editor: Editor, there: Backbone, tmp_path: Path) -> None:
    Editor(there).invert(picture(), CAPTION, inversion="direct", steps=3).save(tmp_path / "rose.safetensors")
    loaded = Trajectory.load(tmp_path / "rose.safetensors")
    result = editor.edit(loaded, NEW, photo=picture(), refinement="plain")
    assert_untouched_outside(result, picture())


def test_two_threads_on_one_model_do_what_each_does_alone(there: Backbone) -> None:
    editor, captions = Editor(there), [NEW, "a photo of a green rose on a table"]
    options = {"steps": 4, "local_blend": False}
    alone = [edit(editor, picture(seed=seed), new=captions[seed], **options) for seed in (0, 1)]

    def thrice(seed: int) -> list[EditResult]:
        return [edit(editor, picture(seed=seed), new=captions[seed], **options) for _ in range(3)]

    with ThreadPoolExecutor(2) as pool:
        for expected, found in zip(alone, pool.map(thrice, (0, 1)), strict=True):
            assert all(np.abs(drawn(one) - drawn(expected)).max() <= 1 for one in found)
    kinds = {type(processor).__name__ for processor in there.denoiser.attn_processors.values()}
    assert "ControlledAttention" not in kinds


def watch_waits(backbone: Backbone, mode: str) -> None:
    """With the mode `error`, whatever makes the host wait for a CUDA device raises."""
    if backbone.device.type == "cuda":
        torch.cuda.set_sync_debug_mode(mode)


@pytest.mark.parametrize("rule", ["otsu", "midrange", "published"])
@pytest.mark.parametrize("control", ["replace", "refine"])
def test_the_host_waits_for_no_step_of_an_edit(there: Backbone, rule: str, control: str) -> None:
    """From the first step to the last: before and after, pictures come and go."""
    steps = 4
    trajectory = Editor(there).invert(picture(), CAPTION, inversion="direct", steps=steps)
    view = look_again(trajectory, open_photo(picture()))
    plan = plan_edit(there, CAPTION, NEW, view.photo.size, EditSettings(mask_rule=rule, control=control), range(steps))
    done: list[int] = []

    def after(step: int, _: torch.Tensor) -> None:
        done.append(step)
        watch_waits(there, "error" if step < steps - 1 else "default")

    try:
        sampled = sample_edits(there, trajectory, view, [plan], look_for_words(there, trajectory), callback=after)
    finally:
        watch_waits(there, "default")
    assert done == list(range(steps))
    assert torch.isfinite(sampled.latents).all()


@pytest.mark.parametrize("rule", ["otsu", "midrange", "published"])
@pytest.mark.parametrize("control", ["replace", "refine"])
def test_no_step_of_an_edit_moves_values_to_or_from_the_device(model_folder: Path, rule: str, control: str) -> None:
    """The same without CUDA: on the meta device whatever a CUDA device would be waited for is told."""
    backbone, steps = load_backbone(model_folder, META), 4
    told: list[int] = []
    with live_tensors() as live:
        trajectory = Editor(backbone).invert(picture(), CAPTION, inversion="direct", steps=steps)
        view = look_again(trajectory, open_photo(picture()))
        plan = plan_edit(
            backbone, CAPTION, NEW, view.photo.size, EditSettings(mask_rule=rule, control=control), range(steps)
        )
        maps = look_for_words(backbone, trajectory)
        sample_edits(backbone, trajectory, view, [plan], maps, callback=lambda *_: told.append(len(live.asked)))
    assert len(told) == steps
    assert live.asked[told[0] : told[-1]] == []
