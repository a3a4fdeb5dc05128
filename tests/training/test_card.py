"""The card's figures are those on disk, and what was missed is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from safetensors.numpy import save_file

from backbones.backbone import Backbone
from training.card import AUTOENCODER, DECODER, DENOISER, commands_of, main, parameters, stages_of
from training.classifier import LABELS
from training.evaluate import summary_table

ROWS = [
    {"archive": "flower-photos-144", "thing": "rose", "split": "train", "source": "https://example.org/1"},
    {"archive": "flower-photos-144", "thing": "tulip", "split": "test", "source": "https://example.org/2"},
    {
        "archive": "pet-photos-144",
        "thing": "cat",
        "breed": "bengal",
        "split": "train",
        "file_name": "train/Bengal_1.jpg",
    },
    {
        **{"archive": "car-photos-192", "thing": "car", "split": "train", "source": "https://example.org/3"},
        **{"owner": "A. Driver", "license": "CC BY-SA 2.0"},
    },
]


def figures() -> dict[str, Any]:
    kinds = ("flower", "pet")
    colors = {"share": 0.91, "images": 10, "by_color": {"red": 0.9, "white": 0.92}}
    confusion = {"rose": {**dict.fromkeys(LABELS, 0), "rose": 7, "tulip": 2}}
    by_kind = {"flower": 0.62, "pet": 0.83}
    names = {"share": 0.7, "by_kind": by_kind, "images": {"flower": 6, "pet": 4}, "confusion": confusion}
    word = {"iou": 0.85, "threshold": 0.7, "iou_as_published": 0.4, "iou_of_whole_frame": 0.3, "photos": 5}
    near = {
        "median_of_samples": 0.24,
        "median_of_test_photos": 0.2,
        "ratio": 1.2,
        "share_nearer_than_1_percent_of_test_photos": 0.0,
        "share_nearest_to_a_test_photo": 0.12,
        "share_of_test_photos": 0.1,
    }
    content = {
        "size": 128,
        "steps": 30,
        "guidance_scale": 7.5,
        "autoencoder": {"psnr": {"flower": 28.1, "pet": 27.0, "mean": 27.61}, "photos": 9},
        "colors": {"generated": colors, "photos": colors},
        "names": {"generated": names, "photos": names},
        "words": dict.fromkeys(kinds, word),
        "neighbours": dict.fromkeys(kinds, near),
    }
    return {**content, "table": summary_table(content)}


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_the_card_tells_what_is_on_disk(model_folder: Path, backbone: Backbone, tmp_path: Path) -> None:
    model = tmp_path / "model"
    for part in ("unet", "vae", "text_encoder", "scheduler"):
        (model / part).mkdir(parents=True)
        for file in (model_folder / part).iterdir():
            (model / part / file.name).write_bytes(file.read_bytes())
    (tmp_path / "evaluation.json").write_text(json.dumps(figures()))
    (model / "edit_real.json").write_text(json.dumps({"known_words": ["rose"], "words": {"flowers": ["rose"]}}))
    rows = {split: json.dumps([row for row in ROWS if row["split"] == split]) for split in ("train", "test")}
    save_file({"test.images": np.zeros(1)}, tmp_path / "prepared.safetensors", rows)
    log = tmp_path / "log.jsonl"
    log.write_text(
        json.dumps({"step": 90, "minutes": 1.0, "samples_per_s": 20.0, "loss": 0.5})
        + "\n"
        + json.dumps({"step": 180, "minutes": 2.0, "samples_per_s": 30.0, "loss": 0.25})
    )
    card = model / "MODEL_CARD.md"
    (tmp_path / "summary.json").write_text(json.dumps({"learning_rate": 0.002}))
    files = tmp_path / "evaluation.json", tmp_path / "prepared.safetensors"
    main(*files, log, "a slide rule", card, [log, log])
    text = card.read_text()
    assert text.startswith("---\nlicense: cc-by-sa-4.0\n")
    for expected in (
        *("a slide rule", "27.61", "Goals missed: name obeyed, flower.", "| 180 | 2 | 25 |", "32x32", "decoder"),
        *("- rose: rose 7, tulip 2", "- flowers: rose", "--photos car-photos-192.zip", "bengal 1, car 1, rose 1"),
    ):
        assert expected in text
    assert "$" not in text
    assert str(tmp_path) not in text
    lines = (model / "ATTRIBUTION.txt").read_text().splitlines()
    credits = [line for line in lines if "example.org" in line or "Bengal" in line]
    assert credits == ["https://example.org/1", "Bengal_1.jpg", "https://example.org/3, A. Driver, CC BY-SA 2.0"]
    assert sum(line.endswith("1 photos, CC BY 2.0") for line in lines) == 1
    assert parameters(model / "unet") == sum(weight.numel() for weight in backbone.denoiser.parameters())
    assert "the one before" not in text and "--start-from version" not in text
    stages = json.loads((model / "training.json").read_text())
    assert [row["version"] for row in stages] == [1, 1, 1]
    with pytest.raises(typer.BadParameter, match="another version"):
        main(*files, log, "chalk", card, [log], model / "training.json")
    earlier = (model / "training.json").rename(tmp_path / "earlier.json")
    main(*files, log, "chalk", card, [log], earlier)
    assert json.loads((model / "training.json").read_text())[:3] == stages
    text = card.read_text()
    for expected in (
        "`version-1` below",
        "--start-from version-1/vae",
        "| 2 | denoiser",
        "0.002",
    ):
        assert expected in text


def rows_of_version(version: int, *names: str) -> list[dict[str, Any]]:
    return [{"version": version, "stage": name, "minutes": 7, "learning rate": "0.001"} for name in names]


def test_the_commands_are_those_of_the_last_version() -> None:
    first = rows_of_version(1, AUTOENCODER, DENOISER, DECODER)
    commands = commands_of(first, ["pet-photos-144"])
    assert "version-" not in commands
    assert "--decoder-only --start-from work/autoencoder/weights" in commands
    assert "training.export --autoencoder work/decoder/weights" in commands
    commands = commands_of([*first, *rows_of_version(2, DENOISER)], ["pet-photos-144"])
    assert "training.autoencoder" not in commands
    assert "training.latents --prepared work/prepared.safetensors --autoencoder version-1/vae" in commands
    assert "--minutes 7 --learning-rate 0.001 --start-from version-1" in commands
    assert "training.export --autoencoder version-1/vae" in commands


def test_the_first_version_has_an_autoencoder(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="one or two logs"):
        stages_of([], tmp_path / "log.jsonl", [])
