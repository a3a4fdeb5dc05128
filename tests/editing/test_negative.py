"""Plug-and-play's negative prompt: its schedule, its two ends, and what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from editing.editor import Editor
from editing.negative import negative_shares
from editing.result import EditResult
from editing.settings import EditSettings
from tests.editing.edits import CAPTION, NEW, assert_untouched_outside, edit, half, picture, pixels

one_model = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

CONTROLS = ("replace", "mutual", "plug_and_play")


def whole(editor: Editor, **options: Any) -> EditResult:
    """An edit of the whole frame, strongly guided."""
    return edit(editor, picture(), NEW, steps=4, guidance_scale=7.5, local_blend=False, **options)


def test_the_photos_caption_takes_the_empty_ones_place_step_by_step() -> None:
    shares = negative_shares([1.0, 0.75, 0.0, None], sampled=range(5))
    assert shares is not None and shares.shape == (5, 4, 1, 1, 1)
    expected = [[0, 0.25, 0.5, 0.75, 1], [0.25, 0.4375, 0.625, 0.8125, 1], [1] * 5, [0] * 5]
    torch.testing.assert_close(shares[..., 0, 0, 0].T, torch.tensor(expected))
    skipped = negative_shares([1.0], sampled=range(3, 8))
    assert skipped is not None and torch.equal(skipped[3:], shares[:, :1])
    (last,) = negative_shares([1.0], sampled=range(1))  # type: ignore[misc]
    assert float(last) == 1 and negative_shares([None, None], sampled=range(5)) is None


@one_model
@pytest.mark.parametrize("control", CONTROLS)
def test_without_any_of_the_empty_caption_it_is_the_photos_caption_alone(editor: Editor, control: str) -> None:
    """Both inversions have the same latents, and differ in what they call unconditional."""
    mixed = whole(editor, control=control, negative_alpha=0.0)
    alone, empty = (whole(editor, control=control, inversion=name) for name in ("negative_prompt", "direct"))
    assert np.abs(pixels(mixed.drawn) - pixels(alone.drawn)).max() <= 1
    assert np.abs(pixels(mixed.drawn) - pixels(empty.drawn)).max() > 1


@one_model
@pytest.mark.parametrize("control", CONTROLS)
def test_the_schedule_lies_between_its_ends(editor: Editor, control: str) -> None:
    none, some, all_of_it = (whole(editor, control=control, negative_alpha=alpha).drawn for alpha in (None, 1.0, 0.0))
    pairs = ((none, all_of_it), (none, some), (some, all_of_it))
    ends, first, second = (np.square(pixels(one) - pixels(other)).mean() for one, other in pairs)
    assert 0 < first < ends and 0 < second < ends


@one_model
def test_where_the_photos_caption_is_the_unconditional_one_it_changes_nothing(editor: Editor) -> None:
    """Not the maps either, which are recorded once a step."""
    photo, options = picture(), {"inversion": "negative_prompt", "steps": 4, "guidance_scale": 7.5}
    plain, mixed = (edit(editor, photo, **options, negative_alpha=alpha) for alpha in (None, 1.0))
    assert np.abs(pixels(plain.image) - pixels(mixed.image)).max() <= 1
    assert np.array_equal(plain.mask, mixed.mask)


@one_model
def test_it_costs_a_second_evaluation_and_leaves_what_is_outside_the_mask(editor: Editor) -> None:
    counted: list[int] = []
    handle = editor.backbone.denoiser.register_forward_pre_hook(lambda _, args: counted.append(len(args[0])))
    photo, asked = picture(), {"include_mask": half(48, 40, left=True), "exclude_mask": half(48, 40, left=False)}
    try:
        result = edit(editor, photo, control="plug_and_play", steps=4, negative_alpha=1.0, **asked)
    finally:
        handle.remove()
    assert counted.count(2) == 8 and 3 not in counted  # the source is at hand in both evaluations
    assert_untouched_outside(result, photo)


@one_model
def test_each_edit_of_a_batch_has_its_own(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3, guidance_scale=5.0)
    settings = [EditSettings(negative_alpha=alpha, local_blend=False, refinement="plain") for alpha in (None, 1.0)]
    together = editor.edit_many(trajectory, [NEW, NEW], settings)
    for result, one in zip(together, settings, strict=True):
        alone = editor.edit(trajectory, NEW, one)
        assert np.abs(pixels(result.drawn) - pixels(alone.drawn)).max() <= 1
    assert np.abs(pixels(together[0].drawn) - pixels(together[1].drawn)).max() > 1
