from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.attention import Site, attention
from backbones.errors import EditRealError
from editing.controls import CONTROLS
from editing.controls.mutual import MutualSelfAttention
from editing.editor import Editor
from editing.settings import EditSettings

SITES = [Site(f"attn1.{order}", "self", "decoder", order, 4, 4, 1.0) for order in range(16)]
PHOTO = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
CAPTION, NEW = "a photo of a red rose", "a photo of a red cat"


def test_it_begins_at_a_step_and_a_layer() -> None:
    control = MutualSelfAttention(edits=2, sampled=range(50), sites=SITES)
    assert [step for step in range(50) if control.sites(step)] == list(range(4, 50))
    assert list(control.sites(10)) == SITES[10:]


def test_every_row_asks_with_its_own_queries_and_finds_the_sources_keys_and_values() -> None:
    query, key, value = torch.randn(3, 5, 2, 16, 8, generator=torch.Generator().manual_seed(0))
    found = MutualSelfAttention(edits=2, sampled=range(50), sites=SITES).attend(SITES[12], query, key, value, step=10)
    for row in range(5):
        torch.testing.assert_close(found[row], attention(query[row], key[0], value[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_edits_and_leaves_the_rest(editor: Editor, control: str, model_folder: Path) -> None:
    trajectory = editor.invert(PHOTO, CAPTION, inversion="direct", steps=4)
    result = editor.edit(trajectory, NEW, control=control, refinement="plain")
    mask, after = np.asarray(result.mask), np.asarray(result.image)
    assert result.settings["control"] == control
    assert np.array_equal(after[mask == 0], PHOTO[mask == 0]) and (after != PHOTO).any() and (mask == 0).any()


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_controls_differ_and_may_be_mixed_in_one_call(editor: Editor, model_folder: Path) -> None:
    trajectory = editor.invert(PHOTO, CAPTION, inversion="direct", steps=4)
    settings = [EditSettings(control=control, local_blend=False) for control in CONTROLS]
    drawn = [np.asarray(one.drawn) for one in editor.edit_many(trajectory, [NEW] * len(settings), settings)]
    assert not np.array_equal(drawn[0], drawn[2])
    alone = np.asarray(editor.edit(trajectory, NEW, settings[2]).drawn)
    assert np.abs(drawn[2].astype(int) - alone).max() <= 1


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_a_words_weight_is_refused(editor: Editor, model_folder: Path) -> None:
    with pytest.raises(EditRealError, match="no reweight with control='mutual'"):
        editor.check(CAPTION, NEW, (40, 40), control="mutual", reweight={"cat": 2.0})
