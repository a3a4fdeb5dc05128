"""Petals are dyed to the asked colour with their shades kept, and nothing else is touched."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from tests.training.test_colors import flower
from training.colors import FLOWER_COLORS, color_masks, name_color
from training.dyes import choose_tones, dye, dye_as, dyeable, from_lab, measure_tone, to_lab

TONES = {
    "white": (84, -1, 2),
    "yellow": (76, -3, 68),
    "red": (42, 58, 37),
    "pink": (60, 46, -3),
    "orange": (63, 34, 58),
    "purple": (42, 40, -42),
    "black": (14, 0, 0),
    "gray": (48, 0, 0),
    "blue": (40, 5, -50),
    "green": (55, -45, 40),
    "brown": (26, 12, 18),
}


def test_lab_is_that_of_scikit_image_and_comes_back() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_allclose(to_lab(image), rgb2lab(image), atol=0.5)
    assert np.abs(from_lab(to_lab(image)).astype(int) - image).max() <= 2


def test_a_color_that_no_screen_shows_loses_chroma_alone() -> None:
    neon = np.full((2, 2, 3), (60, 90, -90), np.float32)
    shown = rgb2lab(from_lab(neon))[0, 0]
    assert abs(shown[0] - 60) < 2
    assert np.rad2deg(np.arctan2(shown[2], shown[1])) == pytest.approx(-45, abs=3)
    clipped = rgb2lab(np.clip(lab2rgb(neon.astype(np.float64)), 0, 1))[0, 0]
    assert abs(clipped[0] - 60) > 2  # what clipping alone does to it


@pytest.mark.parametrize(("color", "to_color"), list(permutations(FLOWER_COLORS, 2)))
def test_dyeing_turns_the_petals_and_nothing_else(color: str, to_color: str) -> None:
    image, disc = flower(color)
    petals = dyeable(image, disc, color, "flower")
    dyed = dye_as(image, petals, to_color, [TONES[to_color]], np.random.default_rng(0))
    assert dyed is not None
    y, x = np.mgrid[:96, :96] - 48
    inside, outside = y**2 + x**2 < 20**2, y**2 + x**2 > 30**2
    assert name_color(dyed, inside) == to_color
    assert (dyed[outside] == image[outside]).all()


@pytest.mark.parametrize("to_color", ["yellow", "purple"])
def test_folds_of_the_petals_stay(to_color: str) -> None:
    image, disc = flower("red")
    shade = 0.75 + 0.25 * np.sin(np.arange(96) / 4)[:, None, None]
    image = np.rint(image * shade).astype(np.uint8)
    dyed = dye(image, disc, TONES[to_color])
    inner = np.zeros_like(disc)
    inner[32:64, 32:64] = True
    before, after = to_lab(image)[inner][:, 0], to_lab(dyed)[inner][:, 0]
    assert np.corrcoef(before, after)[0, 1] > 0.95
    assert after.mean() == pytest.approx(TONES[to_color][0], abs=6)


def test_petals_are_those_near_in_hue_and_not_leaves_or_heart() -> None:
    image, disc = flower("orange")
    image[44:52, 44:52] = (60, 40, 20)  # a brown heart
    image[60:64, 44:52] = (40, 110, 30)  # a leaf across the petals
    image[34:38, 44:52] = (250, 210, 30)  # a yellow tip
    petals = dyeable(image, disc, "orange", "flower")
    assert not petals[45:51, 45:51].any()
    assert not petals[61:63, 45:51].any()
    assert petals[35:37, 45:51].all()


def test_a_tone_that_does_not_get_its_name_is_none() -> None:
    image, disc = flower("yellow")
    image[48:] = (40, 200, 220)  # half of what is said to be petals is far from the other half in hue
    assert dye_as(image, disc, "red", [TONES["red"]], np.random.default_rng(0)) is None


@pytest.mark.parametrize("to_color", sorted(TONES))
@pytest.mark.parametrize("garment", [(25, 25, 28), (235, 235, 235), (180, 20, 30)])
def test_garments_take_every_color_and_keep_their_folds(garment: tuple[int, int, int], to_color: str) -> None:
    fold = 1 + 0.12 * np.sin(np.arange(96) / 4)[:, None, None]
    image = np.clip(np.full((96, 96, 3), garment) * fold, 0, 255).astype(np.uint8)
    whole = np.ones((96, 96), bool)
    dyed = dye_as(image, whole, to_color, [TONES[to_color]], np.random.default_rng(0))
    assert dyed is not None
    assert color_masks(dyed)[to_color].mean() > 0.7
    assert np.corrcoef(to_lab(image)[..., 0].ravel(), to_lab(dyed)[..., 0].ravel())[0, 1] > 0.9


def test_tones_are_those_of_real_things_and_the_vivid_ones_of_them() -> None:
    image, disc = flower("red")
    tone = measure_tone(image, disc, "red")
    assert tone is not None
    np.testing.assert_allclose(tone, to_lab(image)[disc].mean(0), atol=1.5)
    assert measure_tone(image, disc, "blue") is None
    pale, vivid = (60, 10, 0), (50, 70, 0)
    measured = {"flower": {"red": [pale] * 4 + [vivid] * 6}, "clothes": {"blue": [pale], "black": [pale]}}
    tones = choose_tones(measured, "flower")
    assert tones["red"] == [list(vivid)] * 6
    assert tones["blue"] == [list(pale)]  # a garment's, where no flower has it
    assert "black" not in tones
