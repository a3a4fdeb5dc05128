from __future__ import annotations

import pytest
import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from inversion.ddim import ddim_invert
from inversion.null_text_path import optimize_null_text
from inversion.null_text_search import LENGTHS, Direction, optimize_by_search, search
from inversion.schedule import make_schedule

CAPTION, STEPS, SCALE = "a photo of a red rose", 5, 7.5


@pytest.fixture
def problem(backbone: Backbone, latents: torch.Tensor) -> tuple:
    schedule, condition = make_schedule(backbone, STEPS), backbone.condition([CAPTION])
    pivots = ddim_invert(backbone, schedule, latents, condition)
    return backbone, schedule, pivots, condition, backbone.condition([""]), SCALE


def bowl(embeds: torch.Tensor) -> torch.Tensor:
    """A long valley: the second number counts ten times as much as the first."""
    return (embeds * torch.tensor([1.0, 10.0]))[..., None]


def tune(start: torch.Tensor, pivot: torch.Tensor, **given):  # type: ignore[no-untyped-def]
    options = {"goal": 0.0, "max_updates": 2, "at_once": 5, "direction": Direction.of(start)}
    return search(bowl, start, pivot, **(options | given))


def test_without_updates_it_is_the_published_path_untuned(problem: tuple) -> None:
    found, expected = (way(*problem, max_inner_steps=0) for way in (optimize_by_search, optimize_null_text))
    assert found.inner_steps == (0,) * STEPS
    assert found.losses == pytest.approx(expected.losses, rel=1e-3)
    torch.testing.assert_close(found.arrived, expected.arrived, rtol=1e-3, atol=1e-4)


def test_two_updates_come_to_less_than_ten_published_ones(problem: tuple) -> None:
    found = optimize_by_search(*problem, max_inner_steps=2)
    published = optimize_null_text(*problem, max_inner_steps=10)
    assert max(found.inner_steps) == 2
    assert sum(found.losses) < sum(published.losses)


def test_each_update_takes_one_gradient_and_the_lengths_without(problem: tuple) -> None:
    backbone, rows, told = problem[0], {True: 0, False: 0}, list[int]()

    def count(network: torch.nn.Module, args: tuple) -> None:
        rows[torch.is_grad_enabled()] += len(args[0])

    handle = backbone.denoiser.register_forward_pre_hook(count)
    try:
        found = optimize_by_search(*problem, max_inner_steps=2, callback=lambda step, _: told.append(step))
    finally:
        handle.remove()
    updates, rested = sum(found.inner_steps), found.inner_steps.count(0)
    assert rows == {True: updates + rested, False: STEPS + len(LENGTHS) * updates}
    assert len(told) == STEPS + 2 * updates + rested and told == sorted(told) and told[-1] == STEPS - 1


def test_the_best_that_was_tried_is_taken() -> None:
    start, pivot = torch.zeros(1, 1, 2), bowl(torch.tensor([[[0.04, 0.04]]]))
    found = tune(start, pivot, max_updates=1)
    torch.testing.assert_close(found.embeds, torch.full((1, 1, 2), 0.04))
    torch.testing.assert_close(found.landed, pivot)
    assert found.updates == 1 and found.loss == pytest.approx(0, abs=1e-8)


def test_it_stays_where_every_step_would_be_too_long() -> None:
    start, pivot = torch.zeros(1, 1, 2), bowl(torch.full((1, 1, 2), 1e-3))
    found = tune(start, pivot)
    assert torch.equal(found.embeds, start) and found.loss == pytest.approx(float(pivot.square().mean()))
    assert found.updates == 2


def test_it_rests_below_the_goal_and_takes_no_gradient_in() -> None:
    start, pivot = torch.zeros(1, 1, 2), bowl(torch.full((1, 1, 2), 1e-3))
    direction = Direction.of(start)
    found = tune(start, pivot, goal=1.0, direction=direction)
    assert found.updates == 0 and not direction.mean.any()


def test_it_does_not_look_again_where_it_stayed() -> None:
    looked: list[bool] = []

    def land(embeds: torch.Tensor) -> torch.Tensor:
        looked.append(embeds.requires_grad)
        return bowl(embeds)

    start, pivot = torch.zeros(1, 1, 2), bowl(torch.full((1, 1, 2), 1e-3))
    search(land, start, pivot, Direction.of(start), goal=0.0, max_updates=2, at_once=5)
    assert looked == [True, False, False]


def test_small_gradients_survive_half_precision() -> None:
    """The loss is averaged over all latents, so that its gradient would flush to zero in float16."""
    start, weight = torch.zeros(1, 2, 3), torch.tensor(1e-5)
    pivot = torch.full((1, 64, 2, 3), 1e-2)

    def land(embeds: torch.Tensor) -> torch.Tensor:
        return (embeds.half() * weight.half()).float()[:, None].expand(-1, 64, 2, 3)

    found = search(land, start, pivot, Direction.of(start), goal=0.0, max_updates=1, at_once=5)
    assert (found.embeds > 5e-3).all()


def test_a_gradient_that_overflows_leaves_the_direction_alone() -> None:
    start, pivot = torch.ones(1, 1, 2), torch.zeros(1, 1, 2, 1)
    direction = Direction.of(start)
    found = search(
        lambda embeds: (embeds - 1).sqrt()[..., None], start, pivot + 1, direction, goal=0.0, max_updates=2, at_once=5
    )
    assert found.updates == 0 and torch.equal(found.embeds, start) and not direction.mean.any()


def test_trials_that_are_not_finite_are_passed_over() -> None:
    start, pivot = torch.zeros(1, 1, 1), torch.full((1, 1, 1, 1), 0.04)

    def land(embeds: torch.Tensor) -> torch.Tensor:
        return torch.where((embeds > 0.0075) & (embeds < 0.03), torch.nan, embeds)[..., None]

    found = search(land, start, pivot, Direction.of(start), goal=0.0, max_updates=1, at_once=5)
    assert float(found.embeds) == pytest.approx(0.04)


def test_how_many_are_handed_over_together_changes_nothing() -> None:
    start, pivot = torch.zeros(1, 1, 2), bowl(torch.tensor([[[0.3, -0.2]]]))
    together, apart = (tune(start, pivot, at_once=rows) for rows in (5, 2))
    assert torch.equal(together.embeds, apart.embeds) and together.loss == apart.loss


def test_a_direction_goes_on_and_has_one_length() -> None:
    gradient, another = torch.randn(2, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    direction = Direction.of(gradient)
    first = direction.turn(gradient)
    torch.testing.assert_close(first, -gradient.sign())
    other = direction.turn(another)
    assert float(other.square().mean()) == pytest.approx(1, rel=1e-5)
    momentum_alone = direction.turn(torch.zeros(1, 2, 3))
    assert float((first * momentum_alone).sum()) > 0
    torch.testing.assert_close(momentum_alone, other)
    assert not Direction.of(gradient).turn(torch.zeros(1, 2, 3)).any()


def test_what_is_not_finite_is_said(problem: tuple) -> None:
    broken = problem[4].with_embeds(problem[4].embeds * float("nan"))
    with pytest.raises(EditRealError, match="NaN or infinity"):
        optimize_by_search(*problem[:4], broken, SCALE, max_inner_steps=1)
