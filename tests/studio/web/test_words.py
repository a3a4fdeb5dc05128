from __future__ import annotations

from backbones.backbone import Backbone
from studio.web import words


def test_articles_that_only_follow_their_noun_are_no_news(backbone: Backbone) -> None:
    alignment = words.align(backbone, "a photo of an orange flower", "a photo of a pink flower")
    assert words.difference(alignment).count("<del>") == 1
    assert words.weighable(alignment) == ["pink"]


def test_removed_words_are_struck_out(backbone: Backbone) -> None:
    alignment = words.align(backbone, "a rose with a hat", "a rose")
    assert words.difference(alignment).count("<del>") == 3


def test_the_verdict_is_a_sentence_and_its_warnings_are_escaped() -> None:
    metrics = {"mask_share": 24.2, "change_inside": 18.0, "ceiling_psnr": 27.0, "outside_psnr": float("nan")}
    said = words.verdict(metrics, ["this model was never shown '<b>'"])
    assert "24 % of the photo" in said and "<b>" not in said and "This model" in said
    assert "Nothing was changed" in words.verdict({"mask_share": 0.0, "change_inside": 0.0}, [])
    assert "Hardly anything" in words.verdict({"mask_share": 0.4, "change_inside": 0.2}, [])
    assert "nan" not in words.measures(metrics) and "27.0 dB" in words.measures(metrics)
    assert words.finite({"a": float("inf"), "b": 1.0}) == {"a": None, "b": 1.0}


def test_names_of_settings_are_code() -> None:
    assert "Raise <code>steps</code>, or <code>&lt;b&gt;</code>." in words.note("raise `steps`, or `<b>`")
    metrics = {"mask_share": 24.2, "change_inside": 18.0}
    assert "<code>feather</code> is" in words.verdict(metrics, ["`feather` is 0"])


def test_notes_are_escaped() -> None:
    assert "<i>" not in words.note("<i>", "refused") and "alert" in words.note("x", "refused")
    assert words.note("") == ""
