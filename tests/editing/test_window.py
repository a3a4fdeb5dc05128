"""Windows of steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.errors import EditRealError
from editing.settings import EditSettings
from editing.window import Window, steps_in, window_bounds

SHARES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("window", "steps", "expected"),
    [
        (0.5, 5, [0, 1, 2]),  # half of five goes up
        (0.3, 5, [0, 1]),
        ((0.5, 1.0), 5, [3, 4]),
        ((0.3, 0.7), 5, [2, 3]),
        (0.29, 50, range(15)),  # 0.29 x 50 is 14.499999999999998 in floating point
        (0.1, 4, []),
        (0.0, 4, []),
        (1.0, 4, range(4)),
        (1, 4, range(4)),
        ((0.2, 0.2), 10, []),
    ],
)
def test_bounds_go_to_the_nearer_step_half_up(window: Window, steps: int, expected: list[int]) -> None:
    inside = steps_in(window, range(steps))
    assert inside.shape == (steps,)
    assert inside.nonzero().flatten().tolist() == list(expected)


def test_a_window_is_of_the_steps_that_are_sampled() -> None:
    assert steps_in(0.5, range(4, 20)).nonzero().flatten().tolist() == list(range(4, 12))
    assert steps_in((0.5, 1.0), range(4, 20)).nonzero().flatten().tolist() == list(range(12, 20))
    assert not steps_in(0.0, range(4, 20)).any()


@given(SHARES, st.integers(1, 200))
def test_a_window_and_the_rest_are_all_steps_once(share: float, steps: int) -> None:
    assert (steps_in(share, range(steps)) ^ steps_in((share, 1.0), range(steps))).all()


@pytest.mark.parametrize("steps", [20, 50])
def test_the_defaults_are_whole_steps(steps: int) -> None:
    cross, own = EditSettings.cross_replace, EditSettings.self_replace
    assert [int(steps_in(window, range(steps)).sum()) for window in (cross, own)] == [steps * 8 // 10, steps * 4 // 10]


@pytest.mark.parametrize(
    "window", [-0.1, 1.1, (0.6, 0.2), (0, 2), float("nan"), (0.1,), (0, 0.5, 1), "0.5", "x", None, True, ("a", "b"), {}]
)
def test_what_is_no_window_is_refused(window: object) -> None:
    with pytest.raises(EditRealError, match=r"^expected self_replace as a window of shares between 0 and 1, such as"):
        window_bounds(window, "self_replace")  # type: ignore[arg-type]
    with pytest.raises(EditRealError, match=r"^expected a window of shares"):
        steps_in(window, range(4))  # type: ignore[arg-type]
