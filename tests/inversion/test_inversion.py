from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.text import encode_prompt
from inversion.ddim import ddim_invert, ddim_sample
from inversion.guidance import guide
from inversion.invert import METHODS, invert
from inversion.null_text import optimize_null_text
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory

CAPTION = "a photo of a red rose"


def sample_back(backbone: Backbone, trajectory: Trajectory, *, guidance_scale: float, exact: bool) -> torch.Tensor:
    return ddim_sample(
        backbone,
        make_schedule(backbone, trajectory.steps),
        trajectory.latents[:1],
        encode_prompt(backbone, trajectory.caption),
        trajectory.uncond_embeds,
        guidance_scale,
        trajectory.residuals if exact else None,
    )


def test_the_round_trip_at_guidance_1_converges_to_the_latents(backbone: Backbone, latents: torch.Tensor) -> None:
    embeds = encode_prompt(backbone, CAPTION)
    errors = []
    for steps in (10, 100, 500):
        schedule = make_schedule(backbone, steps)
        pivots = ddim_invert(backbone, schedule, latents, embeds)
        back = ddim_sample(backbone, schedule, pivots[:1], embeds, embeds.expand(steps, -1, -1), 1.0)
        errors.append(float((back[-1:] - latents).square().mean().sqrt() / latents.std()))
    assert errors[0] > errors[1] > errors[2], errors


def test_the_noise_of_v_prediction_drives_the_step_that_diffusers_takes(
    backbone: Backbone, latents: torch.Tensor
) -> None:
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, prediction_type=backbone.prediction_type,
    )  # fmt: skip
    scheduler.set_timesteps(10)
    schedule, embeds = make_schedule(backbone, 10), encode_prompt(backbone, CAPTION)
    levels = ddim_sample(backbone, schedule, latents, embeds, embeds.expand(10, -1, -1), 1.0)
    expected = latents
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            output = backbone.unet(expected, timestep, embeds).sample
            expected = scheduler.step(output, timestep, expected).prev_sample
    torch.testing.assert_close(levels[-1:], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("guidance_scale", [2.0, 7.5])
def test_residuals_make_every_method_exact(
    backbone: Backbone, latents: torch.Tensor, method: str, guidance_scale: float
) -> None:
    trajectory = invert(
        backbone, latents, CAPTION, method=method, steps=6, guidance_scale=guidance_scale, max_inner_steps=1
    )
    levels = sample_back(backbone, trajectory, guidance_scale=guidance_scale, exact=True)
    torch.testing.assert_close(levels, trajectory.latents, rtol=1e-3, atol=1e-3)


def test_without_residuals_guidance_leaves_the_trajectory(backbone: Backbone, latents: torch.Tensor) -> None:
    trajectory = invert(backbone, latents, CAPTION, method="ddim", steps=6)
    levels = sample_back(backbone, trajectory, guidance_scale=7.5, exact=False)
    assert float((levels - trajectory.latents).abs().max()) > 1e-3


def test_guidance_1_is_the_conditional_prediction() -> None:
    uncond, cond = torch.randn(2, 1, 4, 8, 8)
    torch.testing.assert_close(guide(uncond, cond, 1.0), cond)
    torch.testing.assert_close(guide(uncond, cond, 0.0), uncond)


@pytest.fixture
def null_text_problem(backbone: Backbone, latents: torch.Tensor) -> tuple[object, ...]:
    schedule, embeds = make_schedule(backbone, 5), encode_prompt(backbone, CAPTION)
    pivots = ddim_invert(backbone, schedule, latents, embeds)
    return backbone, schedule, pivots, embeds, encode_prompt(backbone, ""), 7.5


def test_null_text_never_ends_worse_than_it_started(null_text_problem: tuple) -> None:
    result = optimize_null_text(*null_text_problem, max_inner_steps=4)
    assert all(end <= start for end, start in zip(result.losses, result.start_losses, strict=True))
    assert any(end < start for end, start in zip(result.losses, result.start_losses, strict=True))
    assert len(result.inner_steps) == 5 and max(result.inner_steps) <= 4


def test_null_text_stops_before_an_update_that_is_not_needed(null_text_problem: tuple) -> None:
    backbone, schedule, pivots, embeds, _, scale = null_text_problem
    far = optimize_null_text(*null_text_problem, max_inner_steps=3)
    assert sum(far.inner_steps) > 0
    at_goal = optimize_null_text(backbone, schedule, pivots, embeds, embeds, scale, max_inner_steps=0)
    assert at_goal.inner_steps == (0,) * 5
    torch.testing.assert_close(at_goal.uncond_embeds, embeds.expand(5, -1, -1))


def test_published_null_text_tests_after_the_update(null_text_problem: tuple) -> None:
    result = optimize_null_text(*null_text_problem, max_inner_steps=3, as_published=True)
    assert min(result.inner_steps) >= 1


def test_null_text_leaves_the_weights_alone(null_text_problem: tuple) -> None:
    backbone = null_text_problem[0]
    before = [parameter.clone() for parameter in backbone.unet.parameters()]
    optimize_null_text(*null_text_problem, max_inner_steps=2)
    assert all(parameter.grad is None for parameter in backbone.unet.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, backbone.unet.parameters(), strict=True))


def test_null_text_from_the_empty_caption_beats_plain_ddim(backbone: Backbone, latents: torch.Tensor) -> None:
    options = {"steps": 6, "guidance_scale": 7.5}
    plain = invert(backbone, latents, CAPTION, method="ddim", **options)
    tuned = invert(backbone, latents, CAPTION, method="null_text", as_published=True, **options)

    def error(trajectory: Trajectory) -> float:
        back = sample_back(backbone, trajectory, guidance_scale=7.5, exact=False)[-1:]
        return float((back - latents).square().mean())

    assert error(tuned) < error(plain)


def test_null_text_starts_from_the_empty_caption_or_from_the_caption(backbone: Backbone, latents: torch.Tensor) -> None:
    for start, text in (("empty", ""), ("caption", CAPTION)):
        tuned = invert(backbone, latents, CAPTION, steps=2, max_inner_steps=0, null_text_start=start)
        assert torch.equal(tuned.uncond_embeds, encode_prompt(backbone, text).expand(2, -1, -1))
        assert tuned.null_text_start == start
    with pytest.raises(EditRealError, match="null_text_start"):
        invert(backbone, latents, CAPTION, steps=2, null_text_start="noise")


def test_null_text_without_guidance_is_refused_before_any_work(
    backbone: Backbone, latents: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(backbone), "noise_pred", lambda *_: pytest.fail("inverted in vain"))
    with pytest.raises(EditRealError, match="use 'direct'"):
        invert(backbone, latents, CAPTION, steps=2, guidance_scale=1.0)


def test_a_trajectory_survives_saving(backbone: Backbone, latents: torch.Tensor, tmp_path: Path) -> None:
    trajectory = invert(backbone, latents, CAPTION, method="null_text", steps=3, geometry={"box": [0, 0, 4, 4]})
    trajectory.save(tmp_path / "rose.safetensors")
    loaded = Trajectory.load(tmp_path / "rose.safetensors")
    for name in ("latents", "uncond_embeds", "residuals"):
        assert torch.equal(getattr(loaded, name), getattr(trajectory, name))
    for name in (
        "caption",
        "method",
        "steps",
        "guidance_scale",
        "fingerprint",
        "dtype",
        "geometry",
        "inner_steps",
        "losses",
    ):
        assert getattr(loaded, name) == getattr(trajectory, name), name
    assert [path.name for path in tmp_path.iterdir()] == ["rose.safetensors"]


def test_a_trajectory_of_something_else_is_refused(backbone: Backbone, latents: torch.Tensor) -> None:
    trajectory = invert(backbone, latents, CAPTION, method="direct", steps=2, pixel_hash="abc")
    trajectory.check_valid_for(pixel_hash="abc", caption=CAPTION)
    with pytest.raises(EditRealError, match="caption 'a photo of a red rose' instead of 'a cat'"):
        trajectory.check_valid_for(pixel_hash="abc", caption="a cat")


@pytest.mark.parametrize("content", [b"", b"not a tensor", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_trajectory_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(EditRealError, match="inversion"):
        Trajectory.load(path)


def test_unknown_method(backbone: Backbone, latents: torch.Tensor) -> None:
    with pytest.raises(EditRealError, match="null_text"):
        invert(backbone, latents, CAPTION, method="magic", steps=2)


def test_null_text_needs_guidance(backbone: Backbone, latents: torch.Tensor) -> None:
    with pytest.raises(EditRealError, match="guidance above 1"):
        invert(backbone, latents, CAPTION, method="null_text", steps=2, guidance_scale=1.0)
