"""What an `Editor` keeps, shares and refuses: trajectories, batches, threads."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from benchmarks.stopwatch import watched
from editing.editor import PHOTOS_KEPT, Editor
from editing.settings import EditSettings
from inversion.trajectory import Trajectory
from masks.record import Recorder
from masks.refine import refine_mask
from tests.editing.edits import CAPTION, NEW, assert_untouched_outside, edit, picture, pixels

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)


def test_an_editor_keeps_the_last_few_photos(editor: Editor) -> None:
    editor = Editor(editor.backbone)
    trajectories = [
        editor.invert(picture(seed=seed), CAPTION, inversion="direct", steps=1) for seed in range(PHOTOS_KEPT + 1)
    ]
    with pytest.raises(EditRealError, match="photo="):
        editor.edit(trajectories[0], NEW)
    for trajectory in trajectories[1:]:
        editor.edit(trajectory, NEW)


def test_edits_in_a_batch_equal_one_by_one(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3)
    captions = [NEW, "a photo of a tulip with a hat", "a photo of a green rose"]
    # Without the local blend, whose threshold a rounding error can cross.
    settings = [EditSettings(cross_replace=share, local_blend=False) for share in (0.0, 0.5, 1.0)]
    together = editor.edit_many(trajectory, captions, settings)
    for caption, one, result in zip(captions, settings, together, strict=True):
        alone = editor.edit(trajectory, caption, one)
        assert np.abs(pixels(alone.image) - pixels(result.image)).max() <= 2
        assert result.settings["new_caption"] == caption
        assert result.settings["cross_replace"] == one.cross_replace


def test_no_captions_give_no_results(editor: Editor) -> None:
    assert editor.edit_many(editor.invert(picture(), CAPTION, inversion="direct", steps=2), []) == []


@pytest.mark.parametrize("captions", [[], [NEW, NEW]])
def test_a_batch_needs_settings_for_each(editor: Editor, captions: list[str]) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=2)
    with pytest.raises(EditRealError, match="one settings for each"):
        editor.edit_many(trajectory, captions, [EditSettings()] * 3)


def test_a_saved_trajectory_gives_the_same_bytes(editor: Editor, tmp_path: Path) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="negative_prompt", steps=3)
    fresh = editor.edit(trajectory, NEW)
    trajectory.save(tmp_path / "rose.safetensors")
    loaded = Trajectory.load(tmp_path / "rose.safetensors")
    later = Editor(editor.backbone).edit(loaded, NEW, photo=picture())
    assert later.image.tobytes() == fresh.image.tobytes()
    assert later.mask.tobytes() == fresh.mask.tobytes()


def test_a_trajectory_serves_its_own_photo_and_model_alone(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=2)
    with pytest.raises(EditRealError, match="is of another photo; invert"):
        editor.edit(trajectory, NEW, photo=picture(seed=1))
    with pytest.raises(EditRealError, match="photo="):
        Editor(editor.backbone).edit(trajectory, NEW)
    levels = dataclasses.replace(editor.backbone.levels, prediction_type="v_prediction")
    other = Editor(dataclasses.replace(editor.backbone, levels=levels))
    with pytest.raises(EditRealError, match="of another model, or other weights; invert"):
        other.edit(trajectory, NEW, photo=picture())


@pytest.mark.parametrize("ask", ["edit", "mask"])
def test_a_path_is_no_trajectory(editor: Editor, ask: str) -> None:
    with pytest.raises(EditRealError, match=r"got str; read a saved one by Trajectory\.load\(path\)$"):
        getattr(editor, ask)("rose.safetensors", NEW)


def test_results_and_trajectories_are_shown_in_a_line(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=2)
    assert repr(trajectory) == f"<Trajectory of {CAPTION!r} by direct in 2 steps>"
    shown = repr(editor.edit(trajectory, NEW))
    assert shown.startswith(f"<EditResult {CAPTION}  →  {NEW}: ") and len(shown) < 300


def test_a_single_text_is_no_list_of_captions(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=1)
    with pytest.raises(EditRealError, match="as a list of captions"):
        editor.edit_many(trajectory, NEW)


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize("batch", [1, 2, None])
def test_a_large_batch_is_split(editor: Editor, monkeypatch: pytest.MonkeyPatch, batch: int | None) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=2)
    if batch is None:
        monkeypatch.setattr("backbones.memory.free_memory", lambda _: 3 * 2 * 64 * 16 * 16 * 16 * 4 + 1)
    rows: list[int] = []
    handle = editor.backbone.denoiser.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        results = editor.edit_many(trajectory, [NEW] * 3, batch=batch, local_blend=False)
    finally:
        handle.remove()
    assert [result.settings["new_caption"] for result in results] == [NEW] * 3
    sampled = rows[-6:] if batch != 2 else rows[-4:]
    assert sampled == {1: [2, 2, 2, 2, 2, 2], 2: [4, 4, 2, 2], None: [2, 2, 2, 2, 2, 2]}[batch]
    with pytest.raises(EditRealError, match="batch of 1"):
        editor.edit_many(trajectory, [NEW], batch=0)


def test_every_edit_of_a_batch_has_its_own_cells(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3)
    settings = [EditSettings(cell_share=share, refinement="plain", mask_threshold=0.7) for share in (0.0, 1.0)]
    together = [np.asarray(result.drawn) for result in editor.edit_many(trajectory, [NEW, NEW], settings)]
    alone = [np.asarray(editor.edit(trajectory, NEW, choice).drawn) for choice in settings]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
    assert not np.array_equal(*together)


def test_an_edit_after_a_direct_inversion_costs_at_most_160_rows_and_its_verdict_16(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=50)
    rows: list[int] = []
    handle = editor.backbone.denoiser.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        editor.edit(trajectory, NEW, attempts=1)
    finally:
        handle.remove()
    assert sum(rows) <= 160 + 16


def test_every_latent_is_decoded_once_and_alone(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, max_inner_steps=1, null_text_block=1, steps=2)
    decoded: list[torch.Tensor] = []
    handle = editor.backbone.vae.decoder.register_forward_pre_hook(lambda _, args: decoded.append(args[0].clone()))
    try:
        editor.edit_many(trajectory, [NEW, "a photo of a green rose"], attempts=1)
    finally:
        handle.remove()
    assert [len(latents) for latents in decoded] == [1] * 4  # photo, guided source, two edits
    assert len({latents.numpy().tobytes() for latents in decoded}) == 4


def test_two_threads_on_one_model_give_what_each_gives_alone(editor: Editor) -> None:
    trajectories = [editor.invert(picture(seed=seed), CAPTION, inversion="direct", steps=4) for seed in (0, 1)]
    captions = [NEW, "a photo of a green rose on a table"]
    alone = [editor.edit(path, text).image.tobytes() for path, text in zip(trajectories, captions, strict=True)]
    before = dict(editor.backbone.denoiser.attn_processors)

    def edit_thrice(index: int) -> list[bytes]:
        path = editor.invert(picture(seed=index), CAPTION, inversion="direct", steps=4)
        return [editor.edit(path, captions[index]).image.tobytes() for _ in range(3)]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(edit_thrice, (0, 1)))
    assert found == [[alone[0]] * 3, [alone[1]] * 3]
    assert all(found is before[name] for name, found in editor.backbone.denoiser.attn_processors.items())


def test_an_exception_in_the_middle_leaves_the_model_as_it_was(editor: Editor) -> None:
    unet = editor.backbone.denoiser
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3)
    before, calls = dict(unet.attn_processors), []

    def fail(*_: object) -> None:
        calls.append(type(next(iter(unet.attn_processors.values()))).__name__)
        if len(calls) == 3:
            raise KeyboardInterrupt

    handle = unet.mid_block.register_forward_hook(fail)
    try:
        with pytest.raises(KeyboardInterrupt):
            editor.edit(trajectory, NEW, mask_grows=True)
    finally:
        handle.remove()
    assert calls[-1] == "ControlledAttention"
    assert all(found is before[name] for name, found in unet.attn_processors.items())
    assert_untouched_outside(editor.edit(trajectory, NEW), picture())


@pytest.mark.parametrize("network", [0, 1, 2], ids=["unet", "vae", "text_encoder"])
def test_an_edit_leaves_the_weights_alone(editor: Editor, network: int) -> None:
    before = {name: weight.clone() for name, weight in editor.backbone.networks[network].state_dict().items()}
    edit(editor, picture(), inversion="null_text", max_inner_steps=1)
    after = editor.backbone.networks[network].state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_progress_is_told_after_every_step(backbone: Backbone) -> None:
    told: list[tuple[int, torch.Size]] = []
    editor = Editor(backbone, progress=lambda step, latents: told.append((step, latents.shape)))
    edit(editor, picture(40, 40))
    looked = (2,)  # all at once
    assert told == [(step, (1, 4, 16, 16)) for step in (0, 1, 2, *looked, 0, 1, 2)]


def test_what_is_kept_of_a_photo_can_be_let_go(editor: Editor) -> None:
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3)
    first = editor.edit(trajectory, NEW)
    with watched(editor.backbone.device, (editor.backbone.denoiser,)) as later:
        editor.edit(trajectory, NEW)
    editor.forget(trajectory)
    with watched(editor.backbone.device, (editor.backbone.denoiser,)) as again:
        found = editor.edit(trajectory, NEW)
    assert again.rows["plain"] == later.rows["plain"] + trajectory.steps
    assert found.image.tobytes() == first.image.tobytes()


def test_edits_of_the_same_words_recut_the_photo_once(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(*args: Any) -> np.ndarray:
        asked.append(args[2])
        return refine_mask(*args)

    monkeypatch.setattr("editing.place.refine_mask", counted)
    trajectory = editor.invert(picture(), CAPTION, inversion="direct", steps=3)
    first, second = editor.edit_many(trajectory, [NEW, NEW], refinement="guided", batch=1, attempts=1)
    assert asked.count("guided") == 3  # the outline, and either's own mask
    assert first.mask.tobytes() == second.mask.tobytes()
    editor.edit(trajectory, NEW, refinement="grabcut", attempts=1)
    assert asked.count("grabcut") == 2


@pytest.mark.parametrize("bytes_kept", [-1, float("nan")])
def test_no_bytes_below_none_are_kept(backbone: Backbone, bytes_kept: float) -> None:
    with pytest.raises(EditRealError, match="keep_source"):
        Editor(backbone, keep_source=bytes_kept)


@pytest.mark.parametrize(("options", "recorded"), [({}, False), ({"mask_grows": True}, True)])
def test_attention_is_recorded_only_where_a_mask_follows_it(
    editor: Editor, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], recorded: bool
) -> None:
    seen: list[object] = []

    class Noting(Recorder):
        def attend(self, site: Any, *args: Any, **more: Any) -> torch.Tensor:
            seen.append(site)
            return super().attend(site, *args, **more)

    monkeypatch.setattr("editing.sample.Recorder", Noting)
    edit(editor, picture(), **options)
    assert bool(seen) == recorded
