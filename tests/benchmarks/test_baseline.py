import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from backbones.photo import open_photo
from backbones.view import look_at
from benchmarks.baseline import Plain, Published, edit, guide, invert, move, null_text
from benchmarks.methods import PUBLISHED
from editing.maps import look_for_words
from editing.plan import EditPlan, plan_edit
from editing.sample import sample_edits
from editing.settings import EditSettings
from inversion.ddim import ddim_invert
from inversion.invert import invert as our_invert
from inversion.null_text_path import optimize_null_text
from inversion.settings import InversionSettings

CAPTION, NEW = "a photo of a red rose", "a photo of a white rose"
STEPS = 5


@pytest.fixture
def plain(backbone: Backbone) -> Plain:
    if backbone.levels.prediction_type != "epsilon":
        pytest.skip("the baseline is of the published models, which predict epsilon")
    return Plain(backbone, steps=STEPS, frozen=True)


def plan(backbone: Backbone, **settings: object) -> EditPlan:
    return plan_edit(backbone, CAPTION, NEW, (32, 32), EditSettings(**settings), range(STEPS))


def test_it_inverts_as_we_do(plain: Plain, latents: torch.Tensor) -> None:
    ours = ddim_invert(plain.backbone, plain.schedule, latents, plain.backbone.condition([CAPTION]))
    torch.testing.assert_close(invert(plain, latents, CAPTION), ours, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frozen", [True, False])
def test_it_tunes_what_our_strict_mode_tunes(plain: Plain, latents: torch.Tensor, frozen: bool) -> None:
    model = Plain(plain.backbone, steps=STEPS, frozen=frozen, settings=Published(updates=3))
    pivots, condition = invert(model, latents, CAPTION), model.backbone.condition([CAPTION])
    empty, scale = model.backbone.condition([""]), model.settings.guidance_scale
    ours = optimize_null_text(
        model.backbone, model.schedule, pivots, condition, empty, scale, max_inner_steps=3, as_published=True
    )
    found = null_text(model, pivots, CAPTION)
    torch.testing.assert_close(found, ours.uncond.embeds, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(found, empty.expand(STEPS).embeds, atol=1e-3)
    assert frozen == all(parameter.grad is None for parameter in model.unet.parameters())
    assert all(parameter.grad is None for parameter in model.backbone.denoiser.parameters())


def test_it_edits_as_ours_does_with_the_published_settings(plain: Plain, latents: torch.Tensor) -> None:
    backbone = plain.backbone
    view = look_at(backbone, open_photo(np.full((32, 32, 3), 128, np.uint8)))
    settings = InversionSettings(inversion="direct", steps=STEPS, guidance_scale=7.5)
    trajectory = our_invert(backbone, view, CAPTION, settings)
    asked = plan(backbone, **{**PUBLISHED, "control": "replace", "local_blend": False})
    ours = sample_edits(backbone, trajectory, view, [asked], look_for_words(backbone, trajectory))
    unblended = Plain(backbone, steps=STEPS, frozen=True, settings=Published(blend=False))
    found = edit(unblended, trajectory.latents[:1], trajectory.uncond.embeds, asked.alignment)
    torch.testing.assert_close(found, torch.cat([ours.source, ours.latents]), rtol=1e-2, atol=1e-2)
    assert float((found[0] - found[1]).abs().max()) > 0.05


def test_the_blend_keeps_the_source_where_its_mask_is_not(plain: Plain, latents: torch.Tensor) -> None:
    backbone, words = plain.backbone, plan(plain.backbone).alignment
    uncond = backbone.condition([""]).expand(STEPS).embeds
    blended = Plain(backbone, steps=STEPS, frozen=True, settings=Published(blend_start=0, blend_threshold=0.999))
    source, edited = edit(blended, latents, uncond, words)
    same = (source == edited).all(0)
    assert same.any() and not same.all()
    free, _ = edit(Plain(backbone, steps=STEPS, frozen=True, settings=Published(blend=False)), latents, uncond, words)
    torch.testing.assert_close(source, free)


def test_a_step_there_and_back_is_no_step(plain: Plain, latents: torch.Tensor) -> None:
    noise, (start, end) = torch.randn_like(latents), plain.schedule.levels[1:3]
    torch.testing.assert_close(move(move(latents, noise, start, end), noise, end, start), latents, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(guide(noise, latents, 1.0), latents)
