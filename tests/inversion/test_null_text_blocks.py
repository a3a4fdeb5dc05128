from dataclasses import replace

import pytest
import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.photo import open_photo
from backbones.view import look_at
from inversion.ddim import ddim_invert
from inversion.guidance import guide
from inversion.invert import invert
from inversion.null_text_blocks import descend, optimize_in_blocks, step_length
from inversion.null_text_path import tolerance
from inversion.schedule import Schedule, make_schedule
from inversion.settings import InversionSettings
from inversion.steps import ddim_step

CAPTION, STEPS, SCALE = "a photo of a red rose", 5, 7.5


@pytest.fixture
def schedule(backbone: Backbone) -> Schedule:
    return make_schedule(backbone, STEPS)


@pytest.fixture
def problem(backbone: Backbone, schedule: Schedule, latents: torch.Tensor) -> tuple:
    condition = backbone.condition([CAPTION])
    pivots = ddim_invert(backbone, schedule, latents, condition)
    return backbone, schedule, pivots, condition, backbone.condition([""]), SCALE


@pytest.mark.parametrize("block", [2, 3, 50])
def test_untuned_losses_are_those_of_guided_steps_from_the_pivots(problem: tuple, block: int) -> None:
    backbone, schedule, pivots, condition, empty, scale = problem
    found = optimize_in_blocks(*problem, max_inner_steps=0, block=block)
    expected = []
    for i, timestep in enumerate(schedule.timesteps):
        uncond, cond = (backbone.predict(pivots[i : i + 1], timestep, told) for told in (empty, condition))
        landed = ddim_step(guide(uncond, cond, scale), schedule.levels[i + 1])
        expected.append(float((landed - pivots[i + 1]).square().mean()))
    assert found.losses == pytest.approx(expected, rel=1e-2)
    assert found.inner_steps == (0,) * STEPS and found.arrived is None
    torch.testing.assert_close(found.uncond.embeds, empty.expand(STEPS).embeds)


def test_every_timestep_ends_no_worse_than_it_started_and_most_better(problem: tuple) -> None:
    untuned = optimize_in_blocks(*problem, max_inner_steps=0, block=50)
    tuned = optimize_in_blocks(*problem, max_inner_steps=4, block=50)
    pairs = list(zip(tuned.losses, untuned.losses, strict=True))
    assert all(after <= before * 1.001 for after, before in pairs)
    assert sum(after < 0.9 * before for after, before in pairs) > STEPS // 2


def test_a_block_starts_from_the_last_embedding_of_the_one_before(problem: tuple) -> None:
    first = optimize_in_blocks(*problem[:5], SCALE, max_inner_steps=1, block=2)
    backbone, schedule, pivots, condition, empty, _ = problem
    start = first.uncond[1]
    untuned = optimize_in_blocks(backbone, schedule, pivots, condition, start, SCALE, max_inner_steps=0, block=50)
    assert all(after <= before * 1.001 for after, before in zip(first.losses[2:4], untuned.losses[2:4], strict=True))
    assert not torch.equal(start.embeds, empty.embeds)


@pytest.mark.parametrize("every", [2, 3, STEPS + 1])
def test_timesteps_between_take_the_embedding_of_the_one_before(problem: tuple, every: int) -> None:
    tuned = optimize_in_blocks(*problem, max_inner_steps=2, block=50, every=every)
    each = optimize_in_blocks(*problem, max_inner_steps=2, block=50)
    followed = [i - i % every for i in range(STEPS)]
    torch.testing.assert_close(tuned.uncond.embeds, each.uncond.embeds[followed], rtol=1e-4, atol=1e-5)
    assert len(tuned.losses) == len(tuned.inner_steps) == len(set(followed))
    assert not torch.equal(tuned.uncond.embeds[0], problem[4].embeds[0])


def test_a_timestep_below_the_tolerance_rests(problem: tuple) -> None:
    backbone, schedule, pivots, condition, _, _ = problem
    found = optimize_in_blocks(backbone, schedule, pivots, condition, condition, 1 + 1e-6, max_inner_steps=5, block=3)
    goals = [tolerance(i, STEPS) for i in range(STEPS)]
    resting = [updates == 0 for updates in found.inner_steps]
    untuned = optimize_in_blocks(
        backbone, schedule, pivots, condition, condition, 1 + 1e-6, max_inner_steps=0, block=3
    ).losses
    assert resting[:3] == [loss < goal for loss, goal in zip(untuned[:3], goals[:3], strict=True)]


@pytest.mark.parametrize(("block", "every", "reached"), [(3, 1, 2), (1, 2, 3)])
def test_every_update_is_told_so_that_a_run_can_be_ended_between_them(
    problem: tuple, block: int, every: int, reached: int
) -> None:
    backbone, told, asked = problem[0], [], []

    def tell(step: int, latents: torch.Tensor) -> None:
        told.append(step)

    optimize_in_blocks(*problem, max_inner_steps=4, block=block, every=every, callback=tell)
    assert told == sorted(told) and {reached, STEPS - 1} <= set(told) <= set(range(STEPS))
    assert len(told) > 2 * 3  # more often than there are blocks

    def stop(step: int, latents: torch.Tensor) -> None:
        raise KeyboardInterrupt

    handle = backbone.denoiser.register_forward_hook(lambda *_: asked.append(1))
    try:
        with pytest.raises(KeyboardInterrupt):
            optimize_in_blocks(*problem, max_inner_steps=4, block=3, callback=stop)
    finally:
        handle.remove()
    assert len(asked) == 2  # the block's conditional rows, and its first gradients


def bowls(sizes: torch.Tensor):  # type: ignore[no-untyped-def]
    """A parabola a row, each as steep as its number says, with its lowest point at 1."""
    return lambda embeds, rows: (embeds * sizes[rows][:, None, None])[..., None]


def test_steps_find_their_own_length() -> None:
    sizes = torch.tensor([0.01, 1.0, 300.0])
    goal = sizes[:, None, None, None].expand(3, 2, 3, 1)
    found = descend(bowls(sizes), torch.zeros(3, 2, 3), goal, torch.zeros(3), 6)
    torch.testing.assert_close(found.embeds, torch.ones(3, 2, 3), rtol=1e-2, atol=1e-2)


def test_the_first_step_is_half_of_polyaks_and_none_is_longer_than_a_parabolas_exact_one() -> None:
    embeds, gradient, losses = torch.zeros(1, 1, 1), torch.full((1, 1, 1), -2.0), torch.ones(1)  # of (x - 1)^2 at 0
    flat = [embeds - 1, gradient - 1e-6]  # as if there were hardly any curvature
    first, longest = (step_length(embeds, gradient, losses, before) for before in (None, flat))
    assert float(first) == 0.5 * float(losses) / float(gradient) ** 2
    assert float(embeds - longest * gradient) == 1


def test_rows_do_not_see_one_another() -> None:
    sizes, start = torch.tensor([0.5, 20.0]), torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    goal = sizes[:, None, None, None].expand(2, 2, 3, 1)
    together = descend(bowls(sizes), start, goal, torch.tensor([1e-3, 1e-3]), 3)
    for row in range(2):
        alone = descend(bowls(sizes[row : row + 1]), start[row : row + 1], goal[row : row + 1], torch.tensor([1e-3]), 3)
        torch.testing.assert_close(together.embeds[row : row + 1], alone.embeds)
        assert together.updates[row] == alone.updates[0]


def test_what_is_handed_over_together_changes_nothing() -> None:
    sizes, start = torch.tensor([0.5, 20.0, 3.0]), torch.zeros(3, 2, 3)
    goal = sizes[:, None, None, None].expand(3, 2, 3, 1)
    found = [descend(bowls(sizes), start, goal, torch.full((3,), 1e-6), 4, at_once) for at_once in (None, 1, 2)]
    for other in found[1:]:
        torch.testing.assert_close(other.embeds, found[0].embeds)
        assert torch.equal(other.updates, found[0].updates)


def test_no_gradient_is_worked_out_of_what_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    grad = torch.autograd.grad
    monkeypatch.setattr("torch.autograd.grad", lambda errors, tuned: asked.append(1) or grad(errors, tuned))
    sizes, start = torch.tensor([1.0, 1.0]), torch.stack([torch.ones(2, 3), torch.zeros(2, 3)])
    found = descend(bowls(sizes), start, torch.ones(2, 2, 3, 1), torch.full((2,), 1e-3), 1, at_once=1)
    assert len(asked) == 1 and found.updates.tolist() == [0, 1]


def test_the_best_iterate_is_kept_where_a_step_makes_it_worse() -> None:
    def valley(embeds: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return (embeds + 50 * embeds.relu() ** 2)[..., None]  # steep beyond 0, where the first step leads

    found = descend(valley, torch.full((1, 1, 1), -1.0), torch.full((1, 1, 1, 1), 0.0), torch.zeros(1), 1)
    assert float(found.losses) <= 1.0


def test_blocks_are_the_default_and_one_is_the_published_path(backbone: Backbone, latents: torch.Tensor) -> None:
    view = replace(
        look_at(backbone, open_photo(torch.full((32, 32, 3), 128, dtype=torch.uint8).numpy())), latents=latents
    )
    by_blocks = invert(backbone, view, CAPTION, InversionSettings(steps=4, guidance_scale=SCALE))
    path = invert(backbone, view, CAPTION, InversionSettings(steps=4, guidance_scale=SCALE, null_text_block=1))
    assert by_blocks.arrived is None and path.arrived is not None
    assert by_blocks.report["inner_steps"] and by_blocks.report["losses"]
    assert not torch.equal(by_blocks.uncond.embeds, path.uncond.embeds)


def test_what_is_not_finite_is_said(problem: tuple) -> None:
    broken = problem[4].with_embeds(problem[4].embeds * float("nan"))
    with pytest.raises(EditRealError, match="NaN or infinity"):
        optimize_in_blocks(*problem[:4], broken, SCALE, max_inner_steps=1, block=2)


def test_a_network_that_overflows_is_said() -> None:
    def overflow(embeds: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return (embeds * torch.inf)[..., None]

    with pytest.raises(EditRealError, match="null-text losses, got NaN or infinity"):
        descend(overflow, torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1), torch.zeros(1), 1)
