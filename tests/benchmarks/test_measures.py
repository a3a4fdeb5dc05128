"""The measures agree with scikit-image and with arithmetic, and say NaN where there is nothing to measure."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks.measures import background, background_of_pie_bench, color_share, to_tensor

Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, float]]
SSIM_OPTIONS = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}


def picture(seed: int, size: tuple[int, int] = (40, 56)) -> np.ndarray:
    """A smooth random photo, `(H, W, 3)` uint8."""
    noise = np.random.default_rng(seed).normal(size=(*size, 3))
    smooth = gaussian_filter(noise, (2, 2, 0))
    return np.uint8(255 * (smooth - smooth.min()) / np.ptp(smooth))


def edited(photo: np.ndarray) -> np.ndarray:
    """The photo, blended with another and with a foreign patch in `patch()`."""
    other = picture(1, photo.shape[:2])
    return np.where(patch(photo.shape[:2])[..., None], other, np.uint8(0.8 * photo + 0.2 * other))


def patch(size: tuple[int, int] = (40, 56)) -> np.ndarray:
    inside = np.zeros(size, bool)
    inside[12:28, 14:40] = True
    return inside


def everywhere() -> np.ndarray:
    return np.ones((40, 56), bool)


def test_background_looks_at_the_kept_pixels_alone() -> None:
    photo, kept = picture(0), ~patch()
    image = edited(photo)
    figures = background(image, photo, kept)
    errors = (image[kept] / 255 - photo[kept] / 255) ** 2
    assert figures["mse"] == pytest.approx(errors.mean())
    assert figures["psnr"] == pytest.approx(peak_signal_noise_ratio(photo[kept], image[kept], data_range=255))
    _, similarity = structural_similarity(image / 255, photo / 255, channel_axis=2, full=True, **SSIM_OPTIONS)
    assert figures["ssim"] == pytest.approx(similarity[kept].mean(), abs=1e-6)
    assert figures["psnr"] > background(image, photo, everywhere())["psnr"] + 3


def test_background_of_pie_bench_averages_the_whole_masked_frame() -> None:
    photo, kept = picture(0), patch()  # the frame's border is black, so padding it one way or another is the same
    image = edited(photo)
    figures = background_of_pie_bench(image, photo, kept)
    black_image, black_photo = (np.where(kept[..., None], values / 255, 0) for values in (image, photo))
    assert figures["mse"] == pytest.approx(((black_image - black_photo) ** 2).sum() / image.size)
    assert figures["psnr"] == pytest.approx(peak_signal_noise_ratio(black_photo, black_image, data_range=1))
    _, similarity = structural_similarity(black_image, black_photo, channel_axis=2, full=True, **SSIM_OPTIONS)
    assert figures["ssim"] == pytest.approx(similarity.mean(), abs=1e-5)


def test_the_black_pixels_of_pie_bench_count_as_kept() -> None:
    photo, kept = picture(0), patch()
    image = edited(photo)
    own, pie = background(image, photo, kept), background_of_pie_bench(image, photo, kept)
    assert pie["mse"] == pytest.approx(own["mse"] * kept.mean())
    assert pie["psnr"] == pytest.approx(own["psnr"] - 10 * math.log10(kept.mean()), abs=1e-4)
    assert pie["ssim"] > own["ssim"]


def test_both_definitions_agree_where_everything_is_kept() -> None:
    photo = picture(0)
    image = edited(photo)
    own, pie = background(image, photo, everywhere()), background_of_pie_bench(image, photo, everywhere())
    assert pie["psnr"] == pytest.approx(own["psnr"], abs=1e-4)
    assert pie["mse"] == pytest.approx(own["mse"])
    assert pie["ssim"] == pytest.approx(own["ssim"], abs=0.02)  # they pad the frame differently


@pytest.mark.parametrize("measure", [background, background_of_pie_bench])
def test_what_changed_outside_is_not_counted(measure: Measure) -> None:
    photo = picture(0)
    image = np.where(patch()[..., None], picture(1), photo)
    far = np.zeros((40, 56), bool)
    far[:6] = True  # further from the patch than SSIM's windows reach
    assert measure(image, photo, far) == {"psnr": math.inf, "ssim": pytest.approx(1), "mse": 0}
    assert measure(image, photo, everywhere())["psnr"] < 40


@pytest.mark.parametrize("measure", [background, background_of_pie_bench])
def test_where_nothing_is_kept_there_is_nothing_to_measure(measure: Measure) -> None:
    figures = measure(edited(picture(0)), picture(0), ~everywhere())
    assert figures.keys() == {"psnr", "ssim", "mse"}
    assert all(math.isnan(value) for value in figures.values())


def test_color_share_counts_the_regions_pixels() -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    image[:, :5], image[:, 5:] = (220, 20, 20), (250, 220, 20)
    region = np.zeros((10, 10), bool)
    region[:4, 4:8] = True
    assert color_share(image, region, "red") == pytest.approx(25)
    assert color_share(image, region, "yellow") == pytest.approx(75)
    assert color_share(image, region, "purple") == 0
    assert math.isnan(color_share(image, ~np.ones((10, 10), bool), "red"))


def test_a_tensor_has_the_images_values() -> None:
    image = picture(0)
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, 40, 56)
    np.testing.assert_allclose(tensor[0].permute(1, 2, 0).numpy(), image / 255, atol=1e-6)
