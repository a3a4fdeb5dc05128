"""Trust is a logistic model of signs, and what it does not know says nothing."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from editing.align import align_captions
from editing.editor import Editor
from editing.trust import TrustModel
from editing.verdict import trouble_of, warn
from tests.editing.edits import edit, picture

FINE = {"mask_share": 20.0, "change_inside": 9.0, "ceiling_psnr": 30.0, "reconstruction_psnr": math.nan}
FINE |= {"beyond_map": 0.1}
MODEL = TrustModel(
    means={"thing_seen": 1.0, "asked_color": 90.0},
    scales={"thing_seen": 2.0, "asked_color": 10.0},
    weights={"thing_seen": 1.5, "asked_color": 0.5},
    bias=1.0,
    warn_below=0.5,
)
PLACED = TrustModel(
    means=MODEL.means | {"fits_map": 80.0},
    scales=MODEL.scales | {"fits_map": 10.0},
    weights=MODEL.weights | {"fits_map": 0.8},
    bias=1.0,
    warn_below=0.5,
)


def test_it_is_a_logistic_model_of_centred_signs() -> None:
    assert MODEL.trust({"thing_seen": 1.0, "asked_color": 90.0}) == pytest.approx(1 / (1 + math.exp(-1)))
    assert MODEL.trust({"thing_seen": 3.0, "asked_color": 80.0}) == pytest.approx(1 / (1 + math.exp(-(1 + 1.5 - 0.5))))
    assert MODEL.trust({"thing_seen": 1.0}) == MODEL.trust({"thing_seen": 1.0, "asked_color": 90.0})
    assert MODEL.trust({"thing_seen": 7.0}) == MODEL.trust({"thing_seen": 1e9}) > MODEL.trust({"thing_seen": 6.0})
    assert MODEL.trust({"thing_seen": 9.0, "mask_share": 0.0}) == 0


def test_of_what_no_sign_was_measured_nothing_is_said() -> None:
    asking = dataclasses.replace(
        MODEL, **{name: {**getattr(MODEL, name), "asks_thing": 1.0} for name in ("means", "scales", "weights")}
    )
    for signs in ({}, {"thing_seen": math.nan}, {"asks_thing": 0.0}):
        assert math.isnan(asking.trust(signs))
        assert trouble_of(FINE | signs, asking) is None
    assert asking.trust({"asks_thing": 0.0, "thing_seen": 1.0}) == pytest.approx(0.5)


def test_a_place_alone_does_not_tell_what_came_of_the_edit() -> None:
    assert math.isnan(PLACED.trust({"fits_map": 90.0}))
    assert PLACED.trust({"fits_map": 70.0, "asked_color": 90.0}) < PLACED.trust({"fits_map": 80.0, "asked_color": 90.0})


@pytest.mark.parametrize(
    ("signs", "trouble", "said"),
    [
        ({}, None, []),
        ({"fits_map": 50.0}, "unsure", ["fits the words' map badly (50 %)"]),
        ({"asked_color": 50.0}, "faint", ["only 50 % of what was masked"]),
        ({"asked_color": 60.0, "fits_map": 70.0}, "faint", ["only 60 % of what was masked"]),
        ({"asked_color": 40.0, "fits_map": 50.0}, "faint", ["only 40 % of what was masked"]),
        ({"asked_color": 89.0, "fits_map": 50.0, "beyond_map": 1.0}, "wide", ["2.0 times the share"]),
        ({"asked_color": 40.0, "beyond_map": 1.0}, "wide", ["2.0 times the share", "only 40 % of what was masked"]),
    ],
)
def test_a_doubtful_place_is_told_from_a_doubtful_result(
    backbone: Backbone, signs: dict[str, float], trouble: str | None, said: list[str]
) -> None:
    alignment = align_captions(backbone.parse("a red rose"), backbone.parse("a white rose"))
    metrics = FINE | {"asked_color": 90.0, "fits_map": 80.0} | signs
    assert trouble_of(metrics, PLACED) == trouble
    warnings = warn(metrics, alignment, None, model=PLACED)
    assert len(warnings) == len(said) and all(one in warning for one, warning in zip(said, warnings, strict=True))


def test_of_an_average_mask_nothing_is_said_where_the_request_is_what_speaks_against(backbone: Backbone) -> None:
    alignment = align_captions(backbone.parse("a red rose"), backbone.parse("a cat"))
    asking = dataclasses.replace(
        PLACED,
        means=PLACED.means | {"asks_thing": 0.0},
        scales=PLACED.scales | {"asks_thing": 1.0},
        weights=PLACED.weights | {"asks_thing": -2.0},
    )
    signs = FINE | {"asks_thing": 1.0, "thing_seen": 1.1, "fits_map": 79.0}
    assert trouble_of(signs, asking) == "faint"
    (warning,) = warn(signs, alignment, None, model=asking)
    assert "seldom come out" in warning


def test_a_model_whose_numbers_are_of_before_knows_nothing_of_the_place() -> None:
    assert trouble_of(FINE | {"asked_color": 1.0, "fits_map": 1.0}, MODEL) == "faint"
    assert trouble_of(FINE | {"asked_color": 90.0, "fits_map": 1.0}, MODEL) is None


def test_its_numbers_go_through_json_and_damaged_ones_are_refused() -> None:
    assert TrustModel.from_json(json.loads(json.dumps(MODEL.to_json()))) == MODEL
    damaged: list[Any] = [{}, [], MODEL.to_json() | {"bias": "much"}, MODEL.to_json() | {"weights": [1]}]
    damaged += [MODEL.to_json() | {"means": {}}, MODEL.to_json() | {"scales": {"thing_seen": 0, "asked_color": 1}}]
    for content in damaged:
        with pytest.raises(EditRealError, match="expected a model's trust as means, scales"):
            TrustModel.from_json(content)


@pytest.mark.parametrize(
    ("signs", "trouble"),
    [
        ({"thing_seen": 1.0}, None),
        ({"thing_seen": -9.0}, "faint"),
        ({"asked_color": 1.0}, "faint"),
        ({"thing_seen": 9.0, "mask_share": 0.0}, "empty"),
        ({"thing_seen": 9.0, "mask_share": 99.0}, "wide"),
        ({"thing_seen": 9.0, "mask_share": 20.0, "mask_of_seen": 99.0}, "wide"),
        ({"thing_seen": 9.0, "mask_of_seen": 99.0, "painted_of_seen": 20.0}, "wide"),
        ({"thing_seen": 9.0, "mask_of_seen": 99.0, "painted_of_seen": 99.0}, None),
        ({"thing_seen": 9.0, "beyond_map": 1.1}, "wide"),
        ({"thing_seen": -9.0, "beyond_map": 1.1}, "wide"),
        ({"thing_seen": 9.0, "beyond_map": math.nan, "change_inside": 0.3}, "faint"),
        ({"thing_seen": math.nan}, None),
    ],
)
def test_what_went_wrong(signs: dict[str, float], trouble: str | None) -> None:
    assert trouble_of(FINE | signs, dataclasses.replace(MODEL, bias=0.0)) == trouble


def test_more_trust_may_be_asked_than_the_model_warns_below() -> None:
    def doubt(signs: dict[str, float], least: float, model: TrustModel = PLACED) -> str | None:
        return trouble_of(FINE | {"asked_color": 90.0, "fits_map": 80.0} | signs, model, least=least)

    assert [doubt({}, least) for least in (0.0, 0.7, 0.74, 0.8)] == [None, None, "faint", "faint"], "trust 0.73"
    assert [doubt({"fits_map": 70.0}, least) for least in (0.0, 0.6, 0.7, 0.8)] == [None, "unsure", "unsure", "faint"]
    assert doubt({"asked_color": 50.0}, 0.1) == "faint", "the model warns of it"
    assert doubt({"mask_share": 0.0}, 0.9) == "empty" and doubt({"beyond_map": 1.0}, 0.9) == "wide"
    assert doubt({"asked_color": math.nan}, 0.99) is None, "nothing tells what came of it"


def test_without_numbers_of_its_own_a_model_is_not_judged_by_anothers(backbone: Backbone) -> None:
    assert backbone.trust is None and TrustModel.of(backbone) is None
    assert trouble_of(FINE | {"thing_seen": -9.0, "asked_color": 1.0}, None) is None


@pytest.mark.parametrize(
    ("sign", "value", "said"),
    [
        ("asked_color", 12.0, "only 12 % of what was masked came out white;"),
        ("thing_seen", -50.0, "hardly sees 'white cat'"),
        ("asks_thing", 1.0, "to 'white cat', seldom come out"),
        ("fits_map", 41.0, "badly (41 %)"),
    ],
)
def test_the_warning_names_the_sign_and_a_remedy(backbone: Backbone, sign: str, value: float, said: str) -> None:
    alignment = align_captions(backbone.parse("a red rose"), backbone.parse("a white cat"))
    signs = FINE | {"thing_seen": 1.5, "asked_color": 91.0, "asks_thing": 0.0, "fits_map": 80.0}
    model = TrustModel(
        means={"thing_seen": 1.0, "asked_color": 90.0, "asks_thing": 0.0, "fits_map": 80.0},
        scales={"thing_seen": 2.0, "asked_color": 10.0, "asks_thing": 1.0, "fits_map": 10.0},
        weights={"thing_seen": 1.0, "asked_color": 1.0, "asks_thing": -2.0, "fits_map": 1.0},
        bias=0.0,
        warn_below=0.5,
    )
    assert warn(signs, alignment, None, model=model) == []
    (warning,) = warn(signs | {sign: value}, alignment, None, model=model)
    assert said in warning and any(remedy in warning for remedy in ("raise", "look closely", "paint"))


@pytest.mark.parametrize("said", [{"asked_color": 12.0}, {"asked_color": 91.0, "change_inside": 0.2}])
@pytest.mark.parametrize(("control", "attempts"), [("replace", 1), ("refine", 3), ("mutual", 1), ("plug_and_play", 5)])
def test_only_what_acts_under_the_control_is_advised(
    backbone: Backbone, said: dict[str, float], control: str, attempts: int
) -> None:
    alignment = align_captions(backbone.parse("a red rose"), backbone.parse("a white rose"))
    (warning,) = warn(FINE | said, alignment, None, control=control, attempts=attempts, model=MODEL)
    acts = control in ("replace", "refine")
    assert any(name in warning for name in ("emphasis", "cross_replace")) == ("self_replace" in warning) == acts
    assert ("take control='replace'" in warning) == (not acts)
    assert ("attempts=3" in warning) == (acts and attempts < 3 and "change_inside" not in said)


def test_a_mask_far_beyond_its_map_is_warned_of(backbone: Backbone) -> None:
    alignment = align_captions(backbone.parse("a rose"), backbone.parse("a cat"))
    (warning,) = warn(FINE | {"beyond_map": 1.5}, alignment, None)
    assert "2.8 times the share" in warning and "raise mask_threshold" in warning
    assert warn(FINE | {"beyond_map": 1.5}, alignment, None, local_blend=False) == []


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_an_edit_is_trusted_as_its_models_folder_says(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    (folder / "edit_real.json").write_text(json.dumps({"trust": MODEL.to_json()}))
    result = edit(Editor(load_backbone(folder, device="cpu")), picture(), mask_threshold=0.5)
    assert result.trust == MODEL.trust(result.metrics)
    assert edit(Editor(load_backbone(model_folder, device="cpu")), picture()).trust is None


def test_the_bundled_model_has_numbers_of_its_own(bundled: Backbone) -> None:
    model = TrustModel.of(bundled)
    assert model is not None and 0 < model.warn_below < 1
