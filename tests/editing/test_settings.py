import pytest

from backbones.errors import EditRealError
from editing.settings import EditSettings, InversionSettings, split_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inversion", "magic"),
        ("steps", 0),
        ("guidance_scale", 0.5),
        ("guidance_scale", float("nan")),
        ("max_inner_steps", -1),
        ("control", "magic"),
        ("mask_rule", "magic"),
        ("refinement", "magic"),
        ("blend_start", 1.5),
        ("cell_share", -0.1),
        ("texture", 1.1),
        ("null_text_start", "noise"),
        ("feather", -0.1),
        ("mask_spread", -1),
        ("mask_threshold", 0.0),
        ("mask_threshold", 1.0),
        ("blend_words", "rose"),
        ("protect_words", "rose"),
        ("cross_replace", 80),
        ("cross_replace", {"rose": (0.5, 0.1)}),
        ("self_replace", "x"),
        ("self_replace", {"rose": 0.4}),
        ("seed", 1),
        ("no_such_option", 1),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(EditRealError, match=name) as caught:
        split_settings({name: value})
    assert "\n" not in str(caught.value)


def test_options_are_sorted_into_the_two_kinds() -> None:
    inversion, edit = split_settings({"steps": 7, "self_replace": 0.1})
    assert inversion == InversionSettings(steps=7)
    assert edit == EditSettings(self_replace=0.1)
