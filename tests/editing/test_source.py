"""The source is looked at once and spared afterwards, and no edit is another for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from backbones.photo import open_photo
from benchmarks.stopwatch import watched
from editing.editor import ROWS_KEPT, SOURCES_KEPT, Editor
from editing.maps import look_for_words, steps_mapped
from editing.plan import EditPlan, plan_edit
from editing.sample import Sampled, sample_edits
from editing.settings import EditSettings
from editing.source import look_at_source
from editing.source_rows import SourceRows, look_at_rows, needs_of
from editing.views import look_again
from inversion.trajectory import Trajectory
from masks.record import join_maps
from tests.editing.edits import CAPTION, NEW, picture
from tests.families import WRITERS

OTHER, STEPS = "a photo of a green rose", 3
REPLAYED = ("direct", "null_text", "null_text_search", "proximal", "edit_friendly", "none")
AMPLE = 2.0**30


@pytest.fixture(scope="module", params=list(WRITERS))
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder: Path = WRITERS[request.param](tmp_path_factory.mktemp("source") / request.param)
    return load_backbone(folder, "cpu")


def invert(backbone: Backbone, method: str = "direct") -> Trajectory:
    photo, editor = picture(), Editor(backbone)
    return editor.invert(photo, CAPTION, inversion=method, steps=STEPS)


def plan(backbone: Backbone, new: str = NEW, **settings: Any) -> EditPlan:
    """With a fixed threshold: in a tiny model's flat maps the last bits decide where Otsu's would cut."""
    settings = {"mask_threshold": 0.3, "mask_grows": True, **settings}
    return plan_edit(backbone, CAPTION, new, picture().size, EditSettings(**settings), range(STEPS))


def sample(
    backbone: Backbone, trajectory: Trajectory, asked: EditPlan, rows: SourceRows | None = None
) -> tuple[Sampled, int]:
    """The edit, and how many rows the model was asked for."""
    view = look_again(trajectory, open_photo(picture()))
    maps = look_for_words(backbone, trajectory)
    with watched(torch.device("cpu"), (backbone.denoiser,)) as watch:
        sampled = sample_edits(backbone, trajectory, view, [asked], maps, source_rows=rows)
    return sampled, watch.rows["plain"]


def look(backbone: Backbone, trajectory: Trajectory, asked: EditPlan, limit: float = AMPLE) -> SourceRows:
    needs = needs_of(backbone, [asked], *trajectory.latents.shape[-2:])
    return look_at_rows(backbone, trajectory, needs, limit)[1]


def assert_alike(one: Sampled, other: Sampled) -> None:
    torch.testing.assert_close(one.latents, other.latents, rtol=1e-4, atol=1e-4)
    assert torch.equal(one.source, other.source)
    for ours, theirs in zip(one.maps, other.maps, strict=True):
        torch.testing.assert_close(ours.cross, theirs.cross, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("control", "negative_alpha"),
    [("replace", None), ("refine", None), ("mutual", None), ("plug_and_play", None), ("plug_and_play", 0.75)],
)
def test_an_edit_takes_two_rows_a_step_and_is_the_same(
    backbone: Backbone, control: str, negative_alpha: float | None
) -> None:
    trajectory = invert(backbone)
    try:
        asked = plan(backbone, control=control, negative_alpha=negative_alpha)
    except EditRealError:
        pytest.skip("the model lacks what the control needs")
    plain, of_plain = sample(backbone, trajectory, asked)
    edited, rows = sample(backbone, trajectory, asked, look(backbone, trajectory, asked))
    assert rows * 3 == of_plain * 2
    assert_alike(edited, plain)


@pytest.mark.parametrize("method", REPLAYED)
def test_what_one_edit_looked_at_serves_another_under_every_replayed_inversion(backbone: Backbone, method: str) -> None:
    trajectory, other = invert(backbone, method), plan(backbone, OTHER)
    edited, rows = sample(backbone, trajectory, other, look(backbone, trajectory, plan(backbone)))
    plain, of_plain = sample(backbone, trajectory, other)
    assert rows * 3 == of_plain * 2
    assert_alike(edited, plain)


@pytest.mark.parametrize(("method", "settings"), [("direct", {"exact": False}), ("edict", {})])
def test_a_source_that_is_sampled_or_coupled_runs_along(backbone: Backbone, method: str, settings: dict) -> None:
    if method == "edict" and not backbone.levels.signal[-1]:
        pytest.skip("EDICT needs some signal at the noisiest level")
    trajectory, asked = invert(backbone, method), plan(backbone, **settings)
    source = look_at_source(backbone, trajectory, [asked])
    assert source.rows is None
    assert look_at_source(backbone, trajectory, [asked], source) is source
    edited, rows = sample(backbone, trajectory, asked, look(backbone, trajectory, asked))
    plain, of_plain = sample(backbone, trajectory, asked)
    assert rows == of_plain
    assert_alike(edited, plain)


def test_the_words_are_where_they_are_without_rows(backbone: Backbone) -> None:
    trajectory = invert(backbone)
    needs = needs_of(backbone, [plan(backbone)], *trajectory.latents.shape[-2:])
    for levels in (1, 2, STEPS):
        mapped = steps_mapped(trajectory, levels)
        looked, _ = look_at_rows(backbone, trajectory, needs, AMPLE, mapped=mapped)
        maps = join_maps(looked, backbone.sites(*trajectory.latents.shape[-2:]))
        plain = look_for_words(backbone, trajectory, levels)
        torch.testing.assert_close(maps.cross, plain.cross, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(maps.pixels, plain.pixels, rtol=1e-4, atol=1e-5)


def test_rows_do_not_depend_on_what_else_is_kept(backbone: Backbone) -> None:
    trajectory, narrow, wide = invert(backbone), plan(backbone, self_replace=0.0), plan(backbone, self_replace=1.0)
    few, many = (look(backbone, trajectory, asked) for asked in (narrow, wide))
    assert many.serve(few.needs) and few.serve(few.needs)
    assert few.serve(many.needs) == (few.needs == many.needs) == (few.bytes == many.bytes)
    for step, row in few.rows.items():
        for site, parts in row.parts.items():
            assert all(torch.equal(*both) for both in zip(parts, many.rows[step].parts[site], strict=True))
    with_few, with_many = (sample(backbone, trajectory, narrow, rows)[0] for rows in (few, many))
    assert torch.equal(with_few.latents, with_many.latents)


def test_another_control_looks_for_more(backbone: Backbone) -> None:
    trajectory, mutual, replace = invert(backbone), plan(backbone, control="mutual"), plan(backbone, control="replace")
    first = look_at_source(backbone, trajectory, [mutual])
    assert look_at_source(backbone, trajectory, [mutual], first) is first
    more = look_at_source(backbone, trajectory, [replace], first)
    assert more.maps is first.maps and more.rows is not None
    _, rows = sample(backbone, trajectory, replace, more.rows)
    assert rows == 2 * STEPS


def test_beyond_the_limit_the_source_runs_along(backbone: Backbone) -> None:
    trajectory, asked = invert(backbone), plan(backbone)
    plain, of_plain = sample(backbone, trajectory, asked)
    ample = look(backbone, trajectory, asked)
    rows = look(backbone, trajectory, asked, ample.bytes / 2)
    edited, taken = sample(backbone, trajectory, asked, rows)
    assert ample.whole and not rows.whole and 0 < rows.bytes <= ample.bytes / 2
    nothing = (frozenset(),) * STEPS
    assert ample.serve(nothing) and rows.serve(rows.needs) and not rows.serve(nothing)
    assert of_plain * 2 < taken * 3 < of_plain * 3
    assert_alike(edited, plain)


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize("keep", [True, False])
def test_an_editor_keeps_the_sources_of_the_last_few_trajectories(backbone: Backbone, keep: bool) -> None:
    editor = Editor(backbone, keep_source=keep)
    photos = [picture(seed=seed) for seed in range(SOURCES_KEPT + 1)]
    several = [editor.invert(photo, CAPTION, inversion="direct", steps=STEPS) for photo in photos]

    def rows_of(number: int) -> int:
        with watched(torch.device("cpu"), (backbone.denoiser,)) as watch:
            editor.edit(several[number], NEW, photo=photos[number], refinement="plain", attempts=1)
        return watch.rows["plain"]

    first = [rows_of(number) for number in range(len(several))]
    again = [rows_of(-1), rows_of(-2), rows_of(-1 - ROWS_KEPT), rows_of(0)]
    mapped = len(steps_mapped(several[0]))
    later, looking = (2 * STEPS, STEPS) if keep else (3 * STEPS, mapped)  # the maps are at hand in either case
    assert again == [later, later, later + (STEPS if keep else 0), later + looking] and first[0] == later + looking
