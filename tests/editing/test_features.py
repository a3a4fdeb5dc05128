"""What the decoder's layers hold, and how it becomes colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.photo import open_photo
from editing.editor import Editor
from editing.features import decoder_features, principal_colors
from studio.sheets import feature_sheet

CAPTION = "a photo of a red rose"
epsilon = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
PHOTO = np.random.default_rng(0).integers(0, 255, (48, 32, 3), np.uint8)


@epsilon
def test_features_are_the_residual_branches_of_the_decoder(editor: Editor, backbone: Backbone) -> None:
    trajectory = editor.invert(PHOTO, CAPTION, inversion="direct", steps=4)
    found = decoder_features(backbone, trajectory, [0, 3])
    assert [site.name for site, _ in found] == [f"up_blocks.{b}.resnets.{n}" for b in (0, 1) for n in (0, 1)]
    site, last = found[-1]
    assert last.shape == (2, 16, site.height, site.width)
    seen: list[torch.Tensor] = []
    handle = backbone.denoiser.get_submodule(site.name).conv2.register_forward_hook(
        lambda *args: seen.append(args[-1].clone())
    )
    timestep = editor.backbone.levels.steps_offset + 3 * (len(backbone.levels) // 4)
    try:
        with torch.no_grad():
            backbone.denoise(trajectory.latents[:1], timestep, backbone.condition([CAPTION]))
    finally:
        handle.remove()
    torch.testing.assert_close(last[:1], seen[0], rtol=1e-4, atol=1e-5)


def test_cells_alike_share_a_colour_whatever_the_step_adds() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2]])
    of_kind = torch.randn(3, 8, generator=generator)
    step = of_kind[kinds].permute(2, 0, 1)
    colors = principal_colors(torch.stack([step, step + 10 * torch.randn(8, 1, 1, generator=generator)]))
    assert colors.shape == (2, 3, 4, 3) and float(colors.min()) >= 0 and float(colors.max()) <= 1
    torch.testing.assert_close(colors[0], colors[1], rtol=0, atol=5e-3)
    of_cells = [colors[0][kinds == kind] for kind in range(3)]
    assert all((one - one[0]).abs().max() < 5e-3 for one in of_cells)
    assert (of_cells[0][0] - of_cells[1][0]).abs().max() > 0.2


def test_features_without_any_difference_are_no_fault() -> None:
    assert not principal_colors(torch.ones(1, 8, 2, 2)).isnan().any()


@epsilon
def test_the_sheet_has_a_row_for_each_layer(editor: Editor) -> None:
    photo = open_photo(PHOTO)
    trajectory = editor.invert(photo, CAPTION, inversion="direct", steps=4)
    few, more = (feature_sheet(editor, trajectory, photo, steps) for steps in ([0], [0, 3]))
    assert more.height == few.height > 4 * 320
    assert len(set(more.convert("L").resize((64, 64)).tobytes())) > 30


@epsilon
@pytest.mark.parametrize("step", [-1, 4])
def test_a_step_that_is_not_there_is_refused(editor: Editor, backbone: Backbone, step: int) -> None:
    trajectory = editor.invert(PHOTO, CAPTION, inversion="direct", steps=4)
    with pytest.raises(EditRealError, match=f"^expected steps between 0 and 3 to look at, got {step}$"):
        decoder_features(backbone, trajectory, [0, step])


@epsilon
def test_nothing_is_left_on_the_model(editor: Editor, backbone: Backbone) -> None:
    before = {name: len(module._forward_hooks) for name, module in backbone.denoiser.named_modules()}
    decoder_features(backbone, editor.invert(PHOTO, CAPTION, inversion="direct", steps=2), [0])
    assert before == {name: len(module._forward_hooks) for name, module in backbone.denoiser.named_modules()}
