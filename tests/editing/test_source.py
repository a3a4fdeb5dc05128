"""The source's rows are kept and spared, and no edit is another for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from benchmarks.stopwatch import watched
from editing.editor import SOURCES_KEPT, Editor
from editing.maps import look_for_words
from editing.plan import plan_edit
from editing.sample import Sampled, sample_edits
from editing.settings import EditSettings
from editing.source import SourceRows
from editing.views import look_again
from inversion.trajectory import Trajectory
from tests.editing.edits import CAPTION, NEW, picture
from tests.families import WRITERS

OTHER, STEPS = "a photo of a green rose", 3
REPLAYED = ("direct", "null_text", "proximal", "edit_friendly", "none")
AMPLE = 2.0**30


@pytest.fixture(scope="module", params=list(WRITERS))
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder: Path = WRITERS[request.param](tmp_path_factory.mktemp("source") / request.param)
    return load_backbone(folder, "cpu")


def invert(backbone: Backbone, method: str = "direct") -> Trajectory:
    photo, editor = picture(), Editor(backbone)
    return editor.invert(photo, CAPTION, inversion=method, steps=STEPS)


def sample(
    backbone: Backbone, trajectory: Trajectory, rows: SourceRows | None, new: str = NEW, **settings: object
) -> tuple[Sampled, int]:
    """The edit, and how many rows the model was asked for."""
    from backbones.photo import open_photo

    view = look_again(trajectory, open_photo(picture()))
    plan = plan_edit(backbone, CAPTION, new, view.photo.size, EditSettings(**settings), STEPS)  # type: ignore[arg-type]
    maps = look_for_words(backbone, trajectory)
    with watched(torch.device("cpu"), (backbone.denoiser,)) as watch:
        sampled = sample_edits(backbone, trajectory, view, [plan], maps, source_rows=rows)
    return sampled, watch.rows["plain"]


def assert_alike(one: Sampled, other: Sampled) -> None:
    torch.testing.assert_close(one.latents, other.latents, rtol=1e-4, atol=1e-4)
    assert torch.equal(one.source, other.source)
    for ours, theirs in zip(one.maps, other.maps, strict=True):
        torch.testing.assert_close(ours.cross, theirs.cross, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("control", "negative_alpha"),
    [("replace", None), ("refine", None), ("mutual", None), ("plug_and_play", None), ("plug_and_play", 0.75)],
)
def test_a_second_edit_takes_two_rows_a_step_and_is_the_same(
    backbone: Backbone, control: str, negative_alpha: float | None
) -> None:
    trajectory, settings = invert(backbone), {"control": control, "negative_alpha": negative_alpha}
    try:
        plain, of_plain = sample(backbone, trajectory, None, **settings)
    except EditRealError:
        pytest.skip("the model lacks what the control needs")
    rows = SourceRows(AMPLE)
    first, _ = sample(backbone, trajectory, rows, **settings)
    second, of_second = sample(backbone, trajectory, rows, **settings)
    assert of_second * 3 == of_plain * 2
    for edited in (first, second):
        assert_alike(edited, plain)


@pytest.mark.parametrize("method", REPLAYED)
def test_what_one_edit_kept_serves_another_under_every_replayed_inversion(backbone: Backbone, method: str) -> None:
    trajectory, rows = invert(backbone, method), SourceRows(AMPLE)
    sample(backbone, trajectory, rows)
    edited, asked = sample(backbone, trajectory, rows, OTHER)
    plain, of_plain = sample(backbone, trajectory, None, OTHER)
    assert asked * 3 == of_plain * 2
    assert_alike(edited, plain)


@pytest.mark.parametrize(("method", "settings"), [("direct", {"exact": False}), ("edict", {})])
def test_a_source_that_is_sampled_or_coupled_runs_along(backbone: Backbone, method: str, settings: dict) -> None:
    if method == "edict" and not backbone.levels.signal[-1]:
        pytest.skip("EDICT needs some signal at the noisiest level")
    trajectory, rows = invert(backbone, method), SourceRows(AMPLE)
    counted = [sample(backbone, trajectory, rows, **settings)[1] for _ in range(2)]
    assert counted[0] == counted[1] and rows.bytes == 0


def test_another_control_adds_what_it_looks_at(backbone: Backbone) -> None:
    trajectory, rows = invert(backbone), SourceRows(AMPLE)
    sample(backbone, trajectory, rows, control="mutual")
    before = rows.bytes
    plain, _ = sample(backbone, trajectory, None, control="replace")
    for _ in range(2):
        edited, asked = sample(backbone, trajectory, rows, control="replace")
        assert_alike(edited, plain)
    assert rows.bytes > before and asked == 2 * STEPS


def test_beyond_the_limit_the_source_runs_along(backbone: Backbone) -> None:
    trajectory, ample = invert(backbone), SourceRows(AMPLE)
    plain, of_plain = sample(backbone, trajectory, ample)
    rows = SourceRows(ample.bytes / 2)
    sample(backbone, trajectory, rows)
    edited, asked = sample(backbone, trajectory, rows)
    assert 0 < rows.bytes <= rows.limit
    assert of_plain * 2 < asked * 3 < of_plain * 3
    assert_alike(edited, plain)


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize("keep", [True, False])
def test_an_editor_keeps_the_sources_of_the_last_few_trajectories(backbone: Backbone, keep: bool) -> None:
    editor = Editor(backbone, keep_source=keep)
    several = [
        editor.invert(picture(seed=seed), CAPTION, inversion="direct", steps=STEPS) for seed in range(SOURCES_KEPT + 1)
    ]

    def rows_of(trajectory: Trajectory) -> int:
        with watched(torch.device("cpu"), (backbone.denoiser,)) as watch:
            editor.edit(trajectory, NEW, refinement="plain")
        return watch.rows["plain"]

    first = [rows_of(trajectory) for trajectory in several]
    again = [rows_of(several[-1]), rows_of(several[-2]), rows_of(several[0])]
    spared = 2 * STEPS if keep else 3 * STEPS  # the maps are at hand in either case
    assert again == [spared, spared, first[0]] and first[0] == 4 * STEPS
