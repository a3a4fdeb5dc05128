import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from safetensors import safe_open
from safetensors.torch import save_file

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.levels import Prediction, read_levels
from backbones.photo import open_photo
from backbones.view import View, look_at
from inversion.ddim import ddim_invert, ddim_sample
from inversion.guidance import guide
from inversion.invert import METHODS, check_kept, invert
from inversion.null_text_path import optimize_null_text, tune
from inversion.schedule import make_schedule
from inversion.settings import InversionSettings
from inversion.trajectory import GENERATED, Trajectory

CAPTION = "a photo of a red rose"


@pytest.fixture
def view(backbone: Backbone, latents: torch.Tensor) -> View:
    """A grey photo whose latents are random, of the tiny model's size."""
    return replace(look_at(backbone, open_photo(np.full((32, 32, 3), 128, np.uint8))), latents=latents)


def sample_back(backbone: Backbone, trajectory: Trajectory, guidance_scale: float) -> torch.Tensor:
    return ddim_sample(
        backbone,
        make_schedule(backbone, trajectory.steps),
        trajectory.latents[:1],
        backbone.condition([trajectory.caption]),
        trajectory.uncond,
        guidance_scale,
    )


def test_the_round_trip_at_guidance_1_converges_to_the_latents(backbone: Backbone, latents: torch.Tensor) -> None:
    condition = backbone.condition([CAPTION])
    errors = []
    for steps in (10, 50, 250):
        schedule = make_schedule(backbone, steps)
        pivots = ddim_invert(backbone, schedule, latents, condition)
        back = ddim_sample(backbone, schedule, pivots[:1], condition, condition.expand(steps), 1.0)
        errors.append(float((back[-1:] - latents).square().mean().sqrt() / latents.std()))
    assert errors[0] > errors[1] > errors[2], errors


@pytest.mark.parametrize("changes", [{}, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}])
def test_a_sampled_step_is_the_one_that_diffusers_takes(
    backbone: Backbone, latents: torch.Tensor, changes: dict[str, object]
) -> None:
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, prediction_type=backbone.levels.prediction_type, **changes,
    )  # fmt: skip
    if changes and backbone.levels.prediction_type == "epsilon":
        pytest.skip("without any signal, the noise alone says nothing of the photo; such models are refused")
    model = replace(backbone, levels=read_levels(scheduler))
    scheduler.set_timesteps(10)
    schedule, condition = make_schedule(model, 10), model.condition([CAPTION])
    levels = ddim_sample(model, schedule, latents, condition, condition.expand(10), 1.0)
    expected = latents
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            output = model.denoiser(expected, timestep, condition.embeds).sample
            expected = scheduler.step(output, timestep, expected).prev_sample
    torch.testing.assert_close(levels[-1:], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_starts_from_the_photos_latents_and_conditions_every_step(
    backbone: Backbone, view: View, method: str
) -> None:
    settings = InversionSettings(inversion=method, steps=6, guidance_scale=3.0, max_inner_steps=1)
    trajectory = invert(backbone, view, CAPTION, settings)
    assert torch.equal(trajectory.latents[-1:], view.latents)
    assert trajectory.latents.shape == (7, 4, 16, 16) and len(trajectory.uncond) == 6
    assert (trajectory.method, trajectory.steps, trajectory.guidance_scale) == (method, 6, 3.0)
    assert (trajectory.pixel_hash, trajectory.geometry) == (view.photo.pixel_hash, view.geometry)


def test_methods_differ_in_the_unconditional_condition(backbone: Backbone, view: View) -> None:
    found = {
        method: invert(backbone, view, CAPTION, InversionSettings(inversion=method, steps=2)).uncond.embeds
        for method in METHODS
    }
    assert torch.equal(found["direct"], backbone.condition([""]).expand(2).embeds)
    assert torch.equal(found["negative_prompt"], backbone.condition([CAPTION]).expand(2).embeds)
    assert not torch.equal(found["null_text"], found["direct"])


@pytest.mark.parametrize(("method", "rows"), [("direct", 50), ("negative_prompt", 50)])
def test_an_inversion_without_tuning_costs_a_row_a_step(backbone: Backbone, view: View, method: str, rows: int) -> None:
    counted = []
    handle = backbone.denoiser.register_forward_pre_hook(lambda _, args: counted.append(len(args[0])))
    try:
        invert(backbone, view, CAPTION, InversionSettings(inversion=method, steps=50))
    finally:
        handle.remove()
    assert sum(counted) == rows


def test_guidance_leaves_a_path_that_nothing_was_tuned_for(backbone: Backbone, view: View) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=6))
    levels = sample_back(backbone, trajectory, guidance_scale=7.5)
    assert trajectory.arrived is None
    assert float((levels - trajectory.latents).abs().max()) > 1e-3


@pytest.mark.parametrize("way", [{"null_text_block": 1}, {"inversion": "null_text_search"}])
def test_null_text_knows_where_guided_sampling_arrives(backbone: Backbone, view: View, way: dict[str, Any]) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(steps=4, guidance_scale=7.5, **way))
    back = sample_back(backbone, trajectory, guidance_scale=7.5)
    torch.testing.assert_close(trajectory.arrived, back[-1:], rtol=1e-3, atol=1e-3)
    assert not torch.equal(trajectory.arrived, trajectory.latents[-1:])


def test_zero_terminal_snr_is_inverted_and_tuned(backbone: Backbone, view: View) -> None:
    if backbone.levels.prediction_type == "epsilon":
        pytest.skip("such models are refused")
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
    scheduler = DDIMScheduler(
        **config, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    model = replace(backbone, levels=read_levels(scheduler))
    assert make_schedule(model, 4).levels[0] == (0.0, 1.0)
    trajectory = invert(model, view, CAPTION, InversionSettings(steps=4, guidance_scale=3.0, max_inner_steps=2))
    assert torch.isfinite(trajectory.latents).all() and torch.isfinite(trajectory.uncond.embeds).all()


def test_guidance_1_is_the_conditional_prediction() -> None:
    uncond, cond = (Prediction(*torch.randn(2, 1, 4, 8, 8)) for _ in range(2))
    for part, expected in zip((*guide(uncond, cond, 1.0), *guide(uncond, cond, 0.0)), (*cond, *uncond), strict=True):
        torch.testing.assert_close(part, expected)


@pytest.fixture
def null_text_problem(backbone: Backbone, latents: torch.Tensor) -> tuple:
    schedule, condition = make_schedule(backbone, 5), backbone.condition([CAPTION])
    pivots = ddim_invert(backbone, schedule, latents, condition)
    return backbone, schedule, pivots, condition, backbone.condition([""]), 7.5


def test_a_timestep_ends_no_worse_than_it_started(null_text_problem: tuple) -> None:
    tuned = optimize_null_text(*null_text_problem, max_inner_steps=4)
    untuned = optimize_null_text(*null_text_problem, max_inner_steps=0)
    assert len(tuned.inner_steps) == 5 and 1 <= max(tuned.inner_steps) <= 4
    assert tuned.losses[0] < untuned.losses[0]
    assert sum(tuned.losses) < sum(untuned.losses)


@pytest.mark.parametrize("rate", [1e-2, 10.0])
def test_the_best_iterate_is_kept_however_far_the_optimiser_strays(rate: float) -> None:
    start, pivot = torch.zeros(1, 2, 3), torch.full((1, 2, 3), 0.5)
    problem = {"rate": rate, "tolerance": 0.0, "max_inner_steps": 1}
    best = tune(lambda embeds: 1 * embeds, start, pivot, as_published=False, **problem)
    last = tune(lambda embeds: 1 * embeds, start, pivot, as_published=True, **problem)
    assert best.loss <= 0.25 and best.updates == 1  # 0.25 is the loss at the start
    assert (last.loss > 0.25) == (rate > 1)
    assert float((best.landed - pivot).square().mean()) == pytest.approx(best.loss)


def test_small_gradients_survive_half_precision() -> None:
    """The loss is averaged over all latents, so that its gradient would flush to zero in float16."""
    start, weight = torch.zeros(1, 2, 3), torch.tensor(1e-5)
    options = {"rate": 1e-2, "tolerance": 0.0, "max_inner_steps": 1, "as_published": True}
    pivot = torch.full((64, 2, 3), 1e-2)
    moved = tune(lambda embeds: (embeds.half() * weight.half()).float().expand(64, 2, 3), start, pivot, **options)
    assert (moved.embeds.abs() > 5e-3).all()


def test_what_is_not_finite_is_said_by_the_inversion(null_text_problem: tuple) -> None:
    start = null_text_problem[4]
    broken = start.with_embeds(start.embeds * float("nan"))
    with pytest.raises(EditRealError, match="NaN or infinity"):
        optimize_null_text(*null_text_problem[:4], broken, 7.5, max_inner_steps=1)


def test_null_text_stops_before_an_update_that_is_not_needed(null_text_problem: tuple) -> None:
    backbone, schedule, pivots, condition, _, scale = null_text_problem
    far = optimize_null_text(*null_text_problem, max_inner_steps=3)
    assert sum(far.inner_steps) > 0
    at_goal = optimize_null_text(backbone, schedule, pivots, condition, condition, scale, max_inner_steps=0)
    assert at_goal.inner_steps == (0,) * 5
    torch.testing.assert_close(at_goal.uncond.embeds, condition.expand(5).embeds)


def test_published_null_text_tests_after_the_update(null_text_problem: tuple) -> None:
    result = optimize_null_text(*null_text_problem, max_inner_steps=3, as_published=True)
    assert min(result.inner_steps) >= 1


def test_null_text_leaves_the_weights_alone(null_text_problem: tuple) -> None:
    backbone = null_text_problem[0]
    before = [parameter.clone() for parameter in backbone.denoiser.parameters()]
    optimize_null_text(*null_text_problem, max_inner_steps=2)
    assert all(parameter.grad is None for parameter in backbone.denoiser.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, backbone.denoiser.parameters(), strict=True))


def test_no_forward_is_repeated(null_text_problem: tuple) -> None:
    """A conditional one a step, and one for each embedding that is looked at."""
    counted: list[int] = []
    handle = null_text_problem[0].denoiser.register_forward_pre_hook(lambda _, args: counted.append(len(args[0])))
    try:
        tuned = optimize_null_text(*null_text_problem, max_inner_steps=3)
    finally:
        handle.remove()
    assert sum(counted) == 2 * 5 + sum(tuned.inner_steps)


def test_null_text_from_the_empty_caption_beats_plain_ddim(backbone: Backbone, view: View) -> None:
    plain = invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=6, guidance_scale=7.5))
    tuned = invert(backbone, view, CAPTION, InversionSettings(steps=6, guidance_scale=7.5, max_inner_steps=10))
    errors = [
        float((sample_back(backbone, path, guidance_scale=7.5)[-1:] - view.latents).square().mean())
        for path in (tuned, plain)
    ]
    assert errors[0] < errors[1]


def test_null_text_starts_from_the_empty_caption_or_from_the_caption(backbone: Backbone, view: View) -> None:
    for start, text in (("empty", ""), ("caption", CAPTION)):
        tuned = invert(backbone, view, CAPTION, InversionSettings(steps=2, max_inner_steps=0, null_text_start=start))
        assert torch.equal(tuned.uncond.embeds, backbone.condition([text]).expand(2).embeds)
        assert tuned.report["null_text_start"] == start


def test_null_text_without_guidance_is_refused_before_any_work(
    backbone: Backbone, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    modest = replace(backbone, guidance_scale=1.0)  # asked for nothing, the model's own guidance holds
    monkeypatch.setattr(type(backbone), "denoise", lambda *_: pytest.fail("inverted in vain"))
    with pytest.raises(EditRealError, match="above 1 for null_text"):
        invert(modest, view, CAPTION, InversionSettings(steps=2))


def test_a_trajectory_survives_saving(backbone: Backbone, view: View, tmp_path: Path) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(steps=3, null_text_block=1))
    trajectory.save(tmp_path / "rose.safetensors")
    loaded = Trajectory.load(tmp_path / "rose.safetensors")
    for mine, its in (
        (trajectory.latents, loaded.latents),
        (trajectory.uncond.embeds, loaded.uncond.embeds),
        (trajectory.arrived, loaded.arrived),
    ):
        assert torch.equal(mine, its)
    plain = ("caption", "method", "steps", "guidance_scale", "pixel_hash", "fingerprint", "dtype", "geometry", "report")
    for name in plain:
        assert getattr(loaded, name) == getattr(trajectory, name), name
    assert [path.name for path in tmp_path.iterdir()] == ["rose.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_saved_trajectory_is_as_readable_as_other_files(backbone: Backbone, view: View, tmp_path: Path) -> None:
    saved, other = tmp_path / "rose.safetensors", tmp_path / "other"
    invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=2)).save(saved)
    other.touch()
    assert saved.stat().st_mode == other.stat().st_mode


def test_a_trajectory_that_cannot_be_saved_is_said_in_a_sentence(
    backbone: Backbone, view: View, tmp_path: Path
) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=2))
    with pytest.raises(EditRealError, match="cannot write") as caught:
        trajectory.save(tmp_path / "missing" / "rose.safetensors")
    assert "\n" not in str(caught.value)


def test_a_trajectory_of_something_else_is_refused(backbone: Backbone, view: View) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=2))
    trajectory.check_valid_for(pixel_hash=view.photo.pixel_hash, caption=CAPTION)
    with pytest.raises(EditRealError, match="caption 'a photo of a red rose' instead of 'a cat'"):
        trajectory.check_valid_for(pixel_hash=view.photo.pixel_hash, caption="a cat")


def test_a_trajectory_by_a_method_of_another_version_is_refused(backbone: Backbone, view: View) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=2))
    with pytest.raises(EditRealError, match="got one by 'of tomorrow', which this version of edit-real does not know"):
        check_kept(replace(trajectory, method="of tomorrow"))
    check_kept(replace(trajectory, method=GENERATED))


@pytest.mark.parametrize("wrong", ["uncond", "latents", "first", "geometry"])
def test_a_trajectory_that_does_not_fit_itself_is_refused(
    backbone: Backbone, view: View, tmp_path: Path, wrong: str
) -> None:
    whole = invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=2))
    beyond = replace(whole.geometry, box=(0, 0, view.geometry.photo_size[0] + 1, 16))
    parts = {"uncond": whole.uncond[:1], "latents": whole.latents[1:], "first": 2, "geometry": beyond}
    replace(whole, **{wrong: parts[wrong]}).save(tmp_path / "rose.safetensors")
    with pytest.raises(EditRealError, match=f"{wrong} of another size"):
        Trajectory.load(tmp_path / "rose.safetensors")


@pytest.mark.parametrize("content", [b"", b"not a tensor", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_trajectory_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(EditRealError, match="inversion"):
        Trajectory.load(path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"steps"', '"stepps"', "other fields"),
        ('"asked": {"inversion"', '"asked": {"invversion"', "other fields"),
        ('"geometry": {', '"geometry": {"depth": [1], ', "other fields"),
        ("edit-real trajectory 2", "edit-real trajectory 1", "of version 0.1"),
        ("edit-real trajectory 2", "something", "another file"),
    ],
)
def test_a_file_of_another_version_is_refused_with_the_reason(
    backbone: Backbone, view: View, tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    path = tmp_path / "rose.safetensors"
    invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=2)).save(path)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = {name: value.replace(old, new) for name, value in file.metadata().items()}
    save_file(tensors, path, metadata)
    with pytest.raises(EditRealError, match=sentence) as caught:
        Trajectory.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("number", "expected"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (30, list(range(10)))])
def test_steps_are_spread_evenly(backbone: Backbone, view: View, number: int, expected: list[int]) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=10))
    assert trajectory.spread_steps(number) == expected


@pytest.mark.parametrize(
    ("number", "start", "expected"), [(30, 0.5, [4, 5, 6, 7, 8, 9]), (2, 0.5, [4, 9]), (3, 1.0, [9])]
)
def test_steps_are_spread_over_the_rest(
    backbone: Backbone, view: View, number: int, start: float, expected: list[int]
) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=10))
    assert trajectory.spread_steps(number, start) == expected
