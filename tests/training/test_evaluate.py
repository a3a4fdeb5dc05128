"""The measures say what they should on images whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from editing.editor import Editor
from training.captions import SPECIES
from training.classifier import LABELS
from training.colors import FLOWER_COLORS
from training.evaluate import colors_obeyed, names_obeyed, summary_table, words_looked_at
from training.generate import Request, draw_samples, requests, sample
from training.neighbours import nearest, neighbours, shrink

WANTED = [Request("a red rose", "rose", "flower", "red", 0), Request("a cat", "cat", "pet", None, 1)]


def test_every_noun_is_asked_for_in_its_colors() -> None:
    wanted = requests(2)
    asked = [(request.noun, request.color) for request in wanted if request.kind == "flower"]
    assert sorted(asked) == sorted((noun, color) for noun in SPECIES for color in FLOWER_COLORS for _ in range(2))
    captions = {request.caption for request in wanted}
    assert {"a photo of an orange rose", "a photo of an abyssinian", "a photo of black pants"} <= captions
    assert {"a photo of green apples", "a photo of a red car", "a photo of a maine coon"} <= captions
    assert {request.label for request in wanted} <= set(LABELS)
    assert {request.label for request in wanted if request.kind == "fruit"} >= {"apple", "tomato", "pepper"}
    assert len({(request.noun, request.seed) for request in wanted}) == len(wanted)


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_samples_are_those_of_the_editor(backbone: Backbone) -> None:
    images = sample(backbone, WANTED, steps=3, guidance_scale=4.0)
    for image, request in zip(images, WANTED, strict=True):
        _, photo = Editor(backbone).generate(request.caption, seed=request.seed, steps=3, guidance_scale=4.0)
        assert np.abs(np.asarray(photo.image).astype(int) - image).max() <= 2


def test_colors_are_counted_by_name() -> None:
    red, white = np.full((32, 32, 3), (200, 0, 0), np.uint8), np.full((32, 32, 3), 250, np.uint8)
    result = colors_obeyed([red, white, red], ["red", "red", None], ["flower", "car", "car"])
    assert result == {"share": 0.5, "images": 2, "by_color": {"red": 0.5}}


def test_names_are_counted_by_kind() -> None:
    kinds, labels = ["flower", "flower", "pet"], ["rose", "tulip", "cat"]
    result = names_obeyed(kinds, ["rose", "tulip", "bengal"], labels, ["rose", "rose", "cat"])
    assert result["by_kind"] == {"flower": 0.5, "pet": 1.0}
    assert result["share"] == pytest.approx(2 / 3)
    assert result["confusion"]["bengal"]["cat"] == 1


def test_a_copy_and_its_mirror_image_are_found() -> None:
    photos = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    new = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    distances = nearest(np.concatenate([photos[:1], photos[1:2, :, ::-1], new]), shrink(photos))
    assert (distances[:2] < 1e-3).all()
    assert (distances[2:] > 0.05).all()
    test, kinds = np.concatenate([new, new]), ["flower", "pet"]
    copies = neighbours(photos[[0, 1]], kinds, test, kinds * 2, photos)
    assert copies["flower"]["ratio"] < 0.1
    assert copies["pet"]["share_nearer_than_1_percent_of_test_photos"] == 1.0
    assert copies["pet"]["share_nearest_to_a_test_photo"] == 0.0
    assert copies["pet"]["share_of_test_photos"] == 0.4


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_words_are_looked_at(backbone: Backbone) -> None:
    rng, mask = np.random.default_rng(0), np.zeros((48, 48), bool)
    mask[12:36, 12:36] = True
    image = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    small = mask & (np.arange(48) < 24)
    rows = [{"image": image, "object": mask, "kind": "flower", "thing": "rose", "color": "red"}]
    rows += [{"image": image, "object": part, "kind": "pet", "thing": "cat", "color": None} for part in (mask, small)]
    result = words_looked_at(backbone, rows, steps=3)
    assert {kind: row["photos"] for kind, row in result.items()} == {"flower": 1, "pet": 2, "small pet": 1}
    assert result["flower"]["iou_of_whole_frame"] == mask.mean()
    assert result["small pet"]["iou_of_whole_frame"] == small.mean()
    for row in result.values():
        assert 1 >= row["iou"] >= row["iou_as_published"] >= 0


def test_a_goal_is_met_or_missed() -> None:
    figures = {
        "autoencoder": {"psnr": {"mean": 27.5}},
        "colors": {"generated": {"share": 0.5}},
        "names": {"generated": {"by_kind": {"car": 0.8}}},
        "words": {"flower": {"iou": 0.7}, "fruit": {"iou": 0.1}},
        "neighbours": {"car": {"ratio": 0.9}},
    }
    results = {row["measure"]: row["result"] for row in summary_table(figures)}
    assert list(results.values()) == ["met", "missed", "met", "missed", "missed"]
    assert not any("fruit" in measure for measure in results)  # of which nothing is asked


def test_the_grid_is_drawn(tmp_path: Path) -> None:
    draw_samples(torch.zeros(2, 16, 16, 3, dtype=torch.uint8).numpy(), WANTED, tmp_path / "samples.png")
    assert (tmp_path / "samples.png").stat().st_size > 1000
