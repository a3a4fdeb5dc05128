"""The measures say what they should on images whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from editing.edit import Editor
from training.captions import SPECIES
from training.colors import FLOWER_COLORS
from training.evaluate import (
    Request,
    colors_obeyed,
    draw_samples,
    names_obeyed,
    nearest,
    neighbours,
    requests,
    sample,
    shrink,
    words_looked_at,
)

WANTED = [Request("a red rose", "rose", "red", 0), Request("a cat", "cat", None, 1)]


def test_every_color_of_every_species_is_asked_for() -> None:
    wanted = requests(2)
    asked = [(request.noun, request.color) for request in wanted if request.color]
    assert sorted(asked) == sorted((noun, color) for noun in SPECIES for color in FLOWER_COLORS for _ in range(2))
    assert "a photo of an orange rose" in {request.caption for request in wanted}
    assert "a photo of an abyssinian" in {request.caption for request in wanted}
    assert {request.label for request in wanted} == {*SPECIES, "cat", "dog"}
    assert len({(request.noun, request.seed) for request in wanted}) == len(wanted)


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_samples_are_those_of_the_editor(backbone: Backbone) -> None:
    images = sample(backbone, WANTED, steps=3, guidance_scale=4.0)
    for image, request in zip(images, WANTED, strict=True):
        _, photo = Editor(backbone).generate(request.caption, seed=request.seed, steps=3, guidance_scale=4.0)
        assert np.abs(np.asarray(photo.image).astype(int) - image).max() <= 2


def test_colors_are_counted_by_name() -> None:
    red, white = np.full((32, 32, 3), (200, 0, 0), np.uint8), np.full((32, 32, 3), 250, np.uint8)
    result = colors_obeyed([red, white, red], ["red", "red", None])
    assert result == {"share": 0.5, "images": 2, "by_color": {"red": 0.5}}


def test_names_are_counted_by_kind() -> None:
    result = names_obeyed(["rose", "tulip", "bengal"], ["rose", "tulip", "cat"], ["rose", "rose", "cat"])
    assert (result["flowers"], result["pets"]) == (0.5, 1.0)
    assert result["confusion"]["bengal"]["cat"] == 1


def test_a_copy_and_its_mirror_image_are_found() -> None:
    photos = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    new = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    distances = nearest(np.concatenate([photos[:1], photos[1:2, :, ::-1], new]), shrink(photos))
    assert (distances[:2] < 1e-3).all()
    assert (distances[2:] > 0.05).all()
    test, dyed = np.concatenate([new, new]), np.zeros(len(photos), bool)
    copies = neighbours(photos[[0, 1]], ["rose", "cat"], test, ["rose", "cat"] * 2, photos, dyed)
    assert copies["flowers"]["ratio"] < 0.1
    assert copies["pets"]["share_nearer_than_1_percent_of_test_photos"] == 1.0
    assert copies["pets"]["share_nearest_to_a_test_photo"] == 0.0
    assert copies["pets"]["share_of_test_photos"] == 0.4


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_words_are_looked_at(backbone: Backbone) -> None:
    rng, mask = np.random.default_rng(0), np.zeros((48, 48), bool)
    mask[12:36, 12:36] = True
    image = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    rows = [{"image": image, "object": mask, "flower": "rose", "color": "red"}]
    rows.append({"image": image, "object": mask, "animal": "cat"})
    result = words_looked_at(backbone, rows, steps=3)
    for kind in ("flowers", "pets"):
        assert result[kind]["photos"] == 1
        assert result[kind]["iou_of_whole_frame"] == mask.mean()
        assert 1 >= result[kind]["iou"] >= result[kind]["iou_as_published"] >= 0


def test_the_grid_is_drawn(tmp_path: Path) -> None:
    draw_samples(torch.zeros(2, 16, 16, 3, dtype=torch.uint8).numpy(), WANTED, tmp_path / "samples.png")
    assert (tmp_path / "samples.png").stat().st_size > 1000
