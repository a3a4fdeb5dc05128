"""Methods that go back to the photo in a way of their own: exact round trips, and what edits see of them."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.levels import Level, Prediction
from backbones.photo import open_photo
from backbones.view import View, look_at
from inversion.edict import coefficients, move, undo
from inversion.edit_friendly import SOURCE_GUIDANCE
from inversion.guidance import guide
from inversion.invert import METHODS, invert, walk_of
from inversion.noised import noised_path
from inversion.proximal import shrinkage
from inversion.schedule import make_schedule
from inversion.settings import InversionSettings
from inversion.steps import ddim_step, posterior_deviation
from inversion.trajectory import Trajectory
from inversion.walk import Retrace, State

CAPTION, NEW = "a photo of a red rose", "a photo of a red cat"
WITH_A_WAY = [name for name, method in METHODS.items() if method.walk is not Retrace]


@pytest.fixture
def view(backbone: Backbone, latents: torch.Tensor) -> View:
    """A grey photo whose latents are random, of the tiny model's size."""
    return replace(look_at(backbone, open_photo(np.full((32, 32, 3), 128, np.uint8))), latents=latents)


def walked(backbone: Backbone, trajectory: Trajectory, target: str, *, exact: bool) -> tuple[State, State]:
    """Source and one target at the end, without any control."""
    walk = walk_of(backbone, trajectory, exact)
    timesteps = make_schedule(backbone, trajectory.steps).timesteps
    source, new = (backbone.condition([text]) for text in (trajectory.caption, target))

    def predict(i: int, of_source: torch.Tensor, targets: torch.Tensor) -> tuple[Prediction, Prediction, Prediction]:
        seen = ((of_source, source), (targets, trajectory.uncond[i]), (targets, new))
        one, uncond, cond = (backbone.predict(at, timesteps[i], condition) for at, condition in seen)
        return one, uncond, cond

    state = targets = walk.begin()
    with torch.no_grad():
        for i in range(walk.first, trajectory.steps):
            state, targets = walk.step(i, state, targets, partial(predict, i))
    return state, targets


def in_float64(backbone: Backbone) -> Backbone:
    return replace(backbone, denoiser=copy.deepcopy(backbone.denoiser).double())


@pytest.mark.parametrize("method", WITH_A_WAY)
@pytest.mark.parametrize("exact", [True, False])
def test_the_source_returns_to_the_photo(backbone: Backbone, view: View, method: str, exact: bool) -> None:
    settings = InversionSettings(inversion=method, steps=8, guidance_scale=3.0)
    source, _ = walked(backbone, invert(backbone, view, CAPTION, settings), NEW, exact=exact)
    if exact:
        assert torch.equal(source[0].float(), view.latents)
    elif method != "proximal":  # which is DDIM's, and as inexact
        torch.testing.assert_close(source[0].float(), view.latents, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("eta", [0, 1])
@pytest.mark.parametrize("skip", [0.0, 0.36])
@pytest.mark.parametrize("steps", [10, 40])
def test_edit_friendly_noise_leads_a_sampled_source_through_every_level(
    backbone: Backbone, view: View, steps: int, skip: float, eta: int
) -> None:
    settings = InversionSettings(inversion="edit_friendly", steps=steps, skip=skip, guidance_scale=9.0, eta=eta)
    trajectory = invert(backbone, view, CAPTION, settings)
    walk = walk_of(backbone, trajectory, exact=False)
    timesteps, condition = make_schedule(backbone, steps).timesteps, backbone.condition([CAPTION])
    state = walk.begin()
    with torch.no_grad():
        for i in range(walk.first, steps):
            seen = backbone.predict(state[0], timesteps[i], condition)
            state, _ = walk.step(i, state, state, lambda *_, seen=seen: (seen, seen, seen))  # type: ignore[misc]
            torch.testing.assert_close(state[0], trajectory.latents[i + 1 : i + 2], rtol=1e-3, atol=1e-3)
    assert walk.first == round(skip * steps)


def test_with_eta_0_a_step_between_levels_is_ddims(backbone: Backbone, view: View) -> None:
    found = [
        invert(backbone, view, CAPTION, InversionSettings(inversion="edit_friendly", steps=6, skip=0, eta=eta))
        for eta in (0, 1)
    ]
    assert torch.equal(found[0].latents, found[1].latents)
    residuals, schedule = found[0].kept["residuals"], make_schedule(backbone, 6)
    assert not torch.allclose(residuals, found[1].kept["residuals"])
    here, timestep = found[0].latents[2:3], schedule.timesteps[2]
    with torch.no_grad():
        seen = [backbone.predict(here, timestep, backbone.condition([text])) for text in ("", CAPTION)]
    landed = ddim_step(guide(seen[0], seen[1], SOURCE_GUIDANCE), schedule.levels[3])
    torch.testing.assert_close(landed + residuals[2], found[0].latents[3:4], rtol=1e-4, atol=1e-4)
    (source,), (target,) = walked(backbone, found[0], NEW, exact=False)
    torch.testing.assert_close(source, view.latents, rtol=1e-3, atol=1e-3)
    (other,) = walked(backbone, found[1], NEW, exact=False)[1]
    assert (target - view.latents).abs().max() > 1e-3 and not torch.allclose(target, other, atol=1e-3)


def test_noises_are_independent_and_the_seeds_own(backbone: Backbone, latents: torch.Tensor) -> None:
    schedule = make_schedule(backbone, 4)
    path, again, other = (noised_path(schedule, latents, seed) for seed in (1, 1, 2))
    assert torch.equal(path, again) and torch.equal(path[-1:], latents) and not torch.equal(path[:-1], other[:-1])
    noises = [(path[i] - schedule.levels[i].signal * latents[0]) / schedule.levels[i].noise for i in range(4)]
    correlations = torch.corrcoef(torch.stack(noises).flatten(1)) - torch.eye(4)
    assert correlations.abs().max() < 0.15  # 1024 numbers each


def test_the_deviation_is_ddpms() -> None:
    alpha, alpha_prev = 0.3, 0.5
    noisier, cleaner = (Level(a**0.5, (1 - a) ** 0.5) for a in (alpha, alpha_prev))
    expected = ((1 - alpha_prev) / (1 - alpha) * (1 - alpha / alpha_prev)) ** 0.5
    assert posterior_deviation(noisier, cleaner) == pytest.approx(expected)
    assert posterior_deviation(noisier, Level(1.0, 0.0)) == 0


def test_an_edict_step_is_undone_exactly_whoever_leads() -> None:
    generator = torch.Generator().manual_seed(0)
    pair = tuple(torch.randn(2, 4, 8, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    a, b = coefficients(Level(0.6, 0.8), Level(0.8, 0.6))
    for step in (0, 1):
        there = move(pair, a, b, step, torch.sin)
        back = undo(there, a, b, step, torch.sin)
        assert not torch.equal(there[0], there[1])
        for one, other in zip(back, pair, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("steps", "guidance_scale"), [(10, 3.0), (50, 3.0), (10, 7.5)])
def test_edict_comes_back_exactly_in_float64(backbone: Backbone, view: View, steps: int, guidance_scale: float) -> None:
    precise = in_float64(backbone)
    settings = InversionSettings(inversion="edict", steps=steps, guidance_scale=guidance_scale, skip=0)
    trajectory = invert(precise, view, CAPTION, settings)
    source, _ = walked(precise, trajectory, NEW, exact=False)
    for part in source:
        assert part.dtype == torch.float64
        torch.testing.assert_close(part, view.latents.double(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", ["edict", "edit_friendly", "none"])
def test_another_caption_leads_elsewhere(backbone: Backbone, view: View, method: str) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion=method, steps=6, guidance_scale=3.0))
    source, targets = walked(backbone, trajectory, NEW, exact=True)
    assert (source[0] - targets[0]).abs().max() > 1e-3


@pytest.mark.parametrize("backbone", ["v_prediction"], indirect=True)
def test_edict_wants_only_the_steps_without_any_signal_left_out(backbone: Backbone, view: View) -> None:
    noisiest, steps = make_schedule(backbone, 4).timesteps[0], {"inversion": "edict", "steps": 4}
    levels = replace(backbone.levels, signal=backbone.levels.signal.clone(), noise=backbone.levels.noise.clone())
    levels.signal[noisiest], levels.noise[noisiest] = 0, 1
    silent = replace(backbone, levels=levels)
    with pytest.raises(EditRealError, match=r"^expected skip to leave out the first step .* or inversion='direct'$"):
        invert(silent, view, CAPTION, InversionSettings(**steps, skip=0.1))
    trajectory = invert(silent, view, CAPTION, InversionSettings(**steps))
    assert trajectory.first == 1 and trajectory.latents.shape[0] == 5 and trajectory.latents.isfinite().all()
    (source, _), _ = walked(silent, trajectory, NEW, exact=False)
    torch.testing.assert_close(source.float(), view.latents, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("inversion", "calls"),
    [("edict", (16, 2 + 8)), ("null_text_search", (4 + 8, 4 + 4)), ("null_text", (4 + 8, 4 + 4))],
)
def test_steps_that_sampling_leaves_out_are_not_worked_on(
    backbone: Backbone, view: View, inversion: str, calls: tuple[int, int]
) -> None:
    """But for DDIM's way through them, where words may be looked for."""
    found = []
    options = {"inversion": inversion, "max_inner_steps": 0, "null_text_block": 1}
    for skip in (0.0, 0.5):
        counted: list[int] = []
        handle = backbone.denoiser.register_forward_pre_hook(lambda *_, counted=counted: counted.append(1))
        invert(backbone, view, CAPTION, InversionSettings(steps=4, skip=skip, **options))
        handle.remove()
        found.append(len(counted))
    assert tuple(found) == calls


@pytest.mark.parametrize("options", [{"inversion": "null_text_search"}, {"null_text_block": 1}])
def test_null_text_is_tuned_along_the_way_that_sampling_takes(
    backbone: Backbone, view: View, options: dict[str, object]
) -> None:
    settings = InversionSettings(steps=6, skip=0.5, max_inner_steps=1, guidance_scale=3.0, **options)  # type: ignore[arg-type]
    trajectory = invert(backbone, view, CAPTION, settings)
    (source,), _ = walked(backbone, trajectory, NEW, exact=False)
    torch.testing.assert_close(source, trajectory.arrived, rtol=1e-4, atol=1e-4)
    assert len(trajectory.uncond) == 6 and len(trajectory.report["inner_steps"]) == 3
    assert torch.equal(trajectory.uncond[0].embeds, backbone.condition([""]).embeds)


def test_the_same_caption_drafts_nothing_without_guidance(backbone: Backbone, view: View) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion="none", steps=6, guidance_scale=1.0))
    _, targets = walked(backbone, trajectory, CAPTION, exact=True)
    torch.testing.assert_close(targets[0], view.latents, rtol=1e-4, atol=1e-4)


def test_a_draft_asks_the_model_nothing_before_the_edit(backbone: Backbone, view: View) -> None:
    counted: list[int] = []
    handle = backbone.denoiser.register_forward_pre_hook(lambda *_: counted.append(1))
    try:
        invert(backbone, view, CAPTION, InversionSettings(inversion="none", steps=6))
    finally:
        handle.remove()
    assert not counted


def test_proximal_guidance_is_the_soft_threshold_of_the_difference() -> None:
    uncond, change = torch.zeros(1, 1, 1, 5), torch.tensor([0.0, 1.0, -2.0, 3.0, -4.0]).reshape(1, 1, 1, 5)
    none, some = Prediction(uncond, uncond), Prediction(uncond, change)
    expected = torch.tensor([0.0, 0.0, 0.0, 1.0, -2.0]).reshape(1, 1, 1, 5)  # the median of |d| is 2
    torch.testing.assert_close(shrinkage(none, some, quantile=0.5) * change, expected)
    assert not shrinkage(none, none).any()


def test_proximal_guidance_leaves_the_photos_own_caption_alone(backbone: Backbone, view: View) -> None:
    settings = {"steps": 6, "guidance_scale": 7.5}
    plain, shrunken = (
        invert(backbone, view, CAPTION, InversionSettings(inversion=method, **settings))  # type: ignore[arg-type]
        for method in ("negative_prompt", "proximal")
    )
    assert torch.equal(plain.latents, shrunken.latents)
    source, targets = walked(backbone, shrunken, CAPTION, exact=False)
    torch.testing.assert_close(source[0], targets[0], rtol=1e-4, atol=1e-4)
    ends = [walked(backbone, one, NEW, exact=True)[1][0] for one in (plain, shrunken)]
    distances = [float((end - view.latents).square().mean()) for end in ends]
    assert distances[1] < distances[0]


@pytest.mark.parametrize("method", WITH_A_WAY)
def test_a_trajectory_is_the_same_after_saving(backbone: Backbone, view: View, method: str, tmp_path: Path) -> None:
    settings = InversionSettings(inversion=method, steps=4, guidance_scale=3.0, skip=0.25, noise_seed=7)
    trajectory = invert(backbone, view, CAPTION, settings)
    trajectory.save(tmp_path / "path.safetensors")
    loaded = Trajectory.load(tmp_path / "path.safetensors")
    assert (loaded.first, loaded.source_guidance) == (1, trajectory.source_guidance)
    ends = [walked(backbone, one, NEW, exact=False) for one in (trajectory, loaded)]
    for one, other in zip(*ends, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("made", "said"), [("direct", "edict"), ("edict", "direct"), ("edit_friendly", "edict")])
def test_another_methods_trajectory_is_refused_in_a_sentence(
    backbone: Backbone, view: View, made: str, said: str
) -> None:
    trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion=made, steps=2))
    with pytest.raises(EditRealError, match=f"^expected an inversion by '{said}', .* invert the photo again") as caught:
        walk_of(backbone, replace(trajectory, method=said), exact=True)
    assert "\n" not in str(caught.value)


def test_what_is_left_to_the_method_is_settled(backbone: Backbone, view: View) -> None:
    firsts = {"direct": 0, "none": 17}
    for method, first in firsts.items():
        trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion=method, steps=50))
        assert trajectory.first == first
    assert invert(backbone, view, CAPTION, InversionSettings(inversion="edict", steps=2)).guidance_scale == 3.0
    assert InversionSettings(steps=3, skip=0.95).sampled == range(2, 3)
