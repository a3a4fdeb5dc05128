import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.filters import threshold_otsu

from backbones.errors import EditRealError
from masks.binarize import RULES, binarize, otsu_threshold, soften

HEATS = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(0, 1, width=32))
THRESHOLDS = st.none() | st.floats(0.01, 0.99)


def pooled(heat: np.ndarray) -> np.ndarray:
    """The maximum of each pixel's 3x3 neighbourhood, the slow way."""
    height, width = heat.shape
    return np.array(
        [[heat[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max() for x in range(width)] for y in range(height)]
    )


@given(heat=HEATS, threshold=THRESHOLDS)
def test_the_published_rule_is_its_formula(heat: np.ndarray, threshold: float | None) -> None:
    share = pooled(heat) / max(heat.max(), 1e-8)
    clear = np.abs(share - (threshold or 0.3)) > 1e-5
    mask = binarize(torch.from_numpy(heat), "published", threshold).numpy() > 0.5
    assert np.array_equal(mask[clear], (share > (threshold or 0.3))[clear])


def test_the_published_rule_by_hand() -> None:
    heat = torch.tensor([[0.0, 0, 0, 0, 0], [0, 0.8, 0, 0, 0.2], [0, 0, 0, 0, 0]])
    expected = [[1, 1, 1, 0, 0]] * 3  # 0.2 is a quarter of the maximum, under 0.3
    assert (binarize(heat, "published") > 0.5).int().tolist() == expected
    assert (binarize(heat, "published", 0.2) > 0.5).int().tolist() == [[1, 1, 1, 1, 1]] * 3


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_the_midrange_rule_is_its_formula(threshold: float | None) -> None:
    heat = torch.rand(7, 8, generator=torch.Generator().manual_seed(0)) + 2
    cut = heat.min() + (threshold or 0.5) * (heat.max() - heat.min())
    assert torch.equal(binarize(heat, "midrange", threshold) > 0.5, heat > cut)


@pytest.mark.parametrize("rule", RULES)
@given(heat=HEATS, threshold=THRESHOLDS)
def test_every_rule_keeps_the_order_in_0_to_1(rule: str, heat: np.ndarray, threshold: float | None) -> None:
    soft = binarize(torch.from_numpy(heat), rule, threshold).numpy()
    assert soft.shape == heat.shape
    assert np.isfinite(soft).all()
    assert soft.min() >= 0
    assert soft.max() <= 1
    order = np.argsort((pooled(heat) if rule == "published" else heat).ravel(), kind="stable")
    assert (np.diff(soft.ravel()[order]) >= -1e-6).all()


@given(threshold=st.floats(0.01, 0.99))
def test_the_threshold_falls_on_a_half(threshold: float) -> None:
    ramp = torch.tensor([0.0, threshold / 2, threshold, (1 + threshold) / 2, 1.0])
    torch.testing.assert_close(soften(ramp, threshold), torch.tensor([0, 0.25, 0.5, 0.75, 1]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", [0.0, 1e-12, 0.2, 1.0])
def test_constant_heat_is_one_thing_everywhere(rule: str, value: float) -> None:
    soft = binarize(torch.full((5, 6), value), rule)
    assert torch.isfinite(soft).all()
    assert len(soft.unique()) == 1


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_otsu_separates_two_levels(share: float, noise: float) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(32, 32, generator=generator) < share
    heat = torch.where(labels, 0.030, 0.020) + 0.01 * noise * torch.randn(32, 32, generator=generator)
    assert torch.equal(binarize(heat, "otsu") > 0.5, labels)


@pytest.mark.parametrize("seed", range(3))
def test_otsu_agrees_with_scikit_image(seed: int) -> None:
    heat = np.random.default_rng(seed).beta(0.6, 2, (64, 64))
    assert otsu_threshold(torch.from_numpy(heat)) == pytest.approx(threshold_otsu(heat), abs=0.01)


@pytest.mark.parametrize("rule", RULES)
def test_a_higher_threshold_never_adds(rule: str) -> None:
    heat = torch.rand(9, 9, generator=torch.Generator().manual_seed(0))
    masks = [binarize(heat, rule, threshold) > 0.5 for threshold in (0.1, 0.3, 0.6, 0.9)]
    assert all((larger | ~smaller).all() for larger, smaller in itertools.pairwise(masks))
    assert masks[0].sum() > masks[-1].sum()


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 1.5, float("nan")])
def test_thresholds_outside_0_to_1_are_refused(threshold: float) -> None:
    with pytest.raises(EditRealError, match="between 0 and 1"):
        binarize(torch.rand(3, 3), "otsu", threshold)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(EditRealError, match=f"{', '.join(RULES)}, got 'magic'"):
        binarize(torch.rand(3, 3), "magic")
