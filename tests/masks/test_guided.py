import numpy as np
import pytest

from masks.guided import fit_local_linear


def random_image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def guided_filter(guide: np.ndarray, target: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """`target` `(H, W)` smoothed along the edges of `guide`."""
    return fit_local_linear(guide, target[..., None], radius, epsilon).apply(guide)[..., 0]


def brute_force(guide: np.ndarray, target: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Ridge regression in every window by `lstsq`, then the mean of the windows that cover a pixel."""
    height, width, channels = *guide.shape[:2], target.shape[-1]
    reflected = ((radius, radius), (radius, radius), (0, 0))
    guides, targets = (np.pad(image.astype(np.float64), reflected, "symmetric") for image in (guide, target))
    side = 2 * radius + 1
    coefficients = np.zeros((height, width, 4 * channels))
    for y, x in np.ndindex(height, width):
        colors = guides[y : y + side, x : x + side].reshape(-1, 3)
        rows = np.hstack([colors, np.ones((side**2, 1))])
        ridge = np.hstack([np.sqrt(side**2 * epsilon) * np.eye(3), np.zeros((3, 1))])
        values = np.vstack([targets[y : y + side, x : x + side].reshape(-1, channels), np.zeros((3, channels))])
        coefficients[y, x] = np.linalg.lstsq(np.vstack([rows, ridge]), values, rcond=None)[0].ravel()
    padded = np.pad(coefficients, reflected, "symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
    mean = windows.mean((-1, -2)).reshape(height, width, 4, channels)
    return np.einsum("hwk,hwkc->hwc", guide, mean[:, :, :3]) + mean[:, :, 3]


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("epsilon", [1e-3, 0.1])
@pytest.mark.parametrize("channels", [1, 5])
def test_the_fit_equals_least_squares_in_every_window(radius: int, epsilon: float, channels: int) -> None:
    guide, target = random_image(9, 12, 3), random_image(9, 12, channels, seed=1)
    found = fit_local_linear(guide, target, radius, epsilon).apply(guide)
    np.testing.assert_allclose(found, brute_force(guide, target, radius, epsilon), atol=2e-3)


@pytest.mark.parametrize("size", [(20, 26), (40, 52), (52, 40), (7, 9), (33, 31)])
def test_an_affine_map_is_found_and_holds_at_every_size(size: tuple[int, int]) -> None:
    guide, matrix = random_image(20, 26, 3), np.float32([[0.5, -1, 0], [0.2, 0, 2], [0, 1, -0.3]])
    model = fit_local_linear(guide, guide @ matrix + 0.25, radius=2, epsilon=1e-7)
    other = random_image(*size, 3, seed=2)
    applied = model.apply(other)
    assert applied.shape == (*size, 3)
    np.testing.assert_allclose(applied, other @ matrix + 0.25, atol=5e-3)


def test_a_large_epsilon_only_smooths() -> None:
    guide, target = random_image(16, 16, 3), random_image(16, 16, seed=1)
    smooth = guided_filter(guide, target, radius=3, epsilon=1e6)
    assert smooth.shape == (16, 16)
    assert smooth.std() < 0.2 * target.std()
    np.testing.assert_allclose(smooth.mean(), target.mean(), atol=0.02)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_constant_stays_constant(value: float) -> None:
    filtered = guided_filter(random_image(10, 14, 3), np.full((10, 14), value, np.float32), radius=2, epsilon=1e-4)
    np.testing.assert_allclose(filtered, value, atol=1e-3)


def test_edges_of_the_guide_are_kept_and_those_of_the_target_alone_are_not() -> None:
    guide = np.zeros((20, 20, 3), np.float32)
    guide[:, 10:] = 1
    with_guide = (np.arange(20) >= 10).astype(np.float32)[None].repeat(20, 0)
    np.testing.assert_allclose(guided_filter(guide, with_guide, 3, 1e-4), with_guide, atol=0.01)
    filtered = guided_filter(guide, with_guide.T, 3, 1e-4)
    assert np.abs(np.diff(filtered, axis=0)).max() < 0.3
