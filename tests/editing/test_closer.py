"""Small things are edited in a part of the photo round them, at the model's full size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image

from backbones.backbone import Backbone
from backbones.photo import open_photo
from editing.closer import GRID, MARGIN, PARTS_KEPT, ROWS_KEPT, look_closer, look_from_afar, part_round
from editing.compare import compare_with_inpainting
from editing.edit import edit_real
from editing.editor import Editor
from editing.inpaint import inpaint_photo
from editing.plan import EditPlan, plan_edit
from editing.recipe import read_recipe
from editing.settings import EditSettings
from editing.source import Drawn, Look, Source, draw_unedited, look_at_source
from editing.views import look_again
from inversion.progress import Callback, Progress
from masks.aggregate import AttentionMaps
from tests.editing.edits import CAPTION, NEW, assert_untouched_outside, picture, pixels

CELLS = 16  # of the maps, a side
ORANGE, PURPLE = "a photo of an orange flower", "a photo of a purple flower"


def look_of(
    backbone: Backbone, size: tuple[int, int], held: tuple[slice, slice], *, region: Any = None, **options: Any
) -> tuple[EditPlan, Look]:
    """A photo of that width and height whose old word is seen in the cells that are `held`."""
    photo, editor = picture(size[1], size[0]), Editor(backbone)
    trajectory = editor.invert(photo, CAPTION, inversion="direct", steps=2, region=region)
    settings = EditSettings(refinement="plain", mask_spread=0, **options)
    plan = plan_edit(backbone, CAPTION, NEW, size, settings, sampled=range(2))
    cross = torch.zeros(1, CELLS, CELLS, 24)
    for position in plan.region.source_words[0].positions:
        cross[0][(*held, position)] = 1
    maps = AttentionMaps(cross.flatten(1, 2), torch.eye(CELLS**2), CELLS, CELLS)

    def drawn() -> Drawn:
        return draw_unedited(backbone, trajectory)

    return plan, Look(trajectory, look_again(trajectory, open_photo(photo)), Source(maps, None, drawn))


SMALL = slice(4, 6), slice(10, 12)  # a sixty-fourth of the frame


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
class TestPart:
    def test_lies_round_the_thing_as_a_square(self, backbone: Backbone) -> None:
        part = part_round(*look_of(backbone, (320, 256), SMALL))
        assert part is not None
        left, top, right, bottom = part
        assert (right - left, bottom - top) == (70, 70)  # a fifth of the longer side, in whole cells of the grid
        assert (left + right) / 2 == pytest.approx(220, abs=8) and (top + bottom) / 2 == pytest.approx(80, abs=8)

    def test_has_a_margin(self, backbone: Backbone) -> None:
        part = part_round(*look_of(backbone, (256, 256), (slice(3, 9), slice(5, 7))))
        assert part is not None
        left, top, right, bottom = part
        side = 96 * (1 + 2 * MARGIN)
        assert side - 6 <= right - left == bottom - top < side + 256 / GRID + 6
        assert top <= 48 - 8 and bottom >= 144 + 8

    @given(rows=st.tuples(*[st.integers(0, 15)] * 2), columns=st.tuples(*[st.integers(0, 15)] * 2))
    def test_holds_the_thing_and_stays_in_the_photo(
        self, backbone: Backbone, rows: tuple[int, int], columns: tuple[int, int]
    ) -> None:
        (first, last), (start, end) = sorted(rows), sorted(columns)
        part = part_round(*look_of(backbone, (320, 192), (slice(first, last + 1), slice(start, end + 1)), closer=1.0))
        if part is None:
            assert max(last - first, end - start) > 4
            return
        left, top, right, bottom = part
        assert 0 <= left < right <= 320 and 0 <= top < bottom <= 192
        assert (right - left) * (bottom - top) <= 320 * 192
        assert left <= start * 20 + 8 and right >= (end + 1) * 20 - 8
        assert top <= first * 12 + 6 and bottom >= (last + 1) * 12 - 6

    def test_is_no_smaller_than_the_model_sees(self, backbone: Backbone) -> None:
        part = part_round(*look_of(backbone, (64, 64), SMALL))
        assert part is not None
        assert (part[2] - part[0], part[3] - part[1]) == (backbone.image_size, backbone.image_size)
        assert part_round(*look_of(backbone, (40, 40), SMALL)) is None

    @pytest.mark.parametrize(
        ("held", "options"),
        [
            ((slice(1, 14), slice(1, 14)), {}),
            (SMALL, {"closer": 0.0}),
            (SMALL, {"local_blend": False}),
            (SMALL, {"region": (0, 0, 250, 256)}),
            ((slice(0, 0), slice(0, 0)), {}),
            (SMALL, {"mask_grows": True}),
            (SMALL, {"kind": "style", "blend_words": ["rose", "cat"]}),
            (SMALL, {"blend_words": ["red", "cat"]}),
        ],
        ids=["large", "never", "everywhere", "chosen by the user", "nowhere", "growing", "of style", "added"],
    )
    def test_is_the_whole_where_it_should_be(
        self, backbone: Backbone, held: tuple[slice, slice], options: dict[str, Any]
    ) -> None:
        assert part_round(*look_of(backbone, (256, 256), held, **options)) is None

    def test_takes_what_the_user_paints(self, backbone: Backbone) -> None:
        mask = np.zeros((256, 256), bool)
        mask[100:102, 200:203] = True
        part = part_round(*look_of(backbone, (256, 256), SMALL, include_mask=mask))
        assert part is not None
        assert part[0] < 160 and part[2] >= 203 and part[1] < 64 and part[3] >= 102

    def test_things_that_are_added_may_be_anywhere(self, backbone: Backbone) -> None:
        plan, look = look_of(backbone, (256, 256), SMALL)
        more = plan_edit(
            backbone, CAPTION, "a photo of a green rose with a hat", (256, 256), plan.settings, sampled=range(2)
        )
        assert part_round(plan, look) is not None
        assert part_round(more, look) is None

    def test_words_that_are_named_and_replaced_are_nothing_new(self, backbone: Backbone) -> None:
        plan, look = look_of(backbone, (256, 256), SMALL, blend_words=["rose", "cat"])
        assert plan.region.added_words == () and part_round(plan, look) is not None

    def test_an_outline_may_move_a_little_within_the_same_one(self, backbone: Backbone) -> None:
        plan, look = look_of(backbone, (1024, 1024), SMALL)
        parts = set()
        for moved in range(0, 64, 8):
            mask = np.zeros((1024, 1024), bool)
            mask[260 : 380 + moved, 650:750] = True
            grown = plan_edit(
                backbone, CAPTION, NEW, (1024, 1024), replace(plan.settings, include_mask=mask), sampled=range(2)
            )
            parts.add(part_round(grown, look))
        assert len(parts) <= 4 and all(side % 32 == 0 for part in parts if part for side in part)

    def test_what_is_kept_of_a_part_does_not_hang_on_the_others(self, backbone: Backbone) -> None:
        plan, look = look_of(backbone, (256, 256), SMALL)
        first = look_closer(backbone, look, [plan], (0, 0, 64, 64))
        assert first.source.rows is not None and first.source.rows.bytes > 0
        second = look_closer(backbone, look, [plan], (64, 0, 128, 64), limit=first.source.rows.bytes)
        assert second.source.rows is not None and second.source.rows.whole
        look_closer(backbone, look, [plan], (128, 0, 192, 64))
        kept = [part.source.rows is not None for part in look.source.parts.values()]
        assert kept == [False] * (len(kept) - ROWS_KEPT) + [True] * ROWS_KEPT
        again = look_closer(backbone, look, [plan], (0, 0, 64, 64))
        assert again.trajectory is first.trajectory, "it was inverted once more"
        assert again.source.rows is not None and again.source.maps is first.source.maps
        look.source.without_any_rows()
        assert all(part.source.rows is None for part in look.source.parts.values())

    def test_leaves_what_was_kept_of_the_whole_photo(self, backbone: Backbone) -> None:
        plan, look = look_of(backbone, (256, 256), SMALL)
        known = look_at_source(backbone, look.trajectory, [plan], look.source)
        whole, [(part, _)] = look_from_afar(backbone, look.trajectory, look.view, [plan], known)
        assert part is not None and known.rows is not None and whole.source.rows is known.rows

    def test_is_inverted_in_as_many_steps_whatever_is_the_default_by_then(self, backbone: Backbone) -> None:
        plan, look = look_of(backbone, (256, 256), SMALL)
        older = look._replace(trajectory=replace(look.trajectory, asked={}))
        closer = look_closer(backbone, older, [plan], part_round(plan, older))
        assert (closer.trajectory.method, closer.trajectory.steps) == ("direct", 2)

    def test_of_a_generated_image_is_none(self, backbone: Backbone) -> None:
        editor = Editor(backbone)
        trajectory, photo = editor.generate(CAPTION, steps=2)
        plan, look = look_of(backbone, photo.size, SMALL)
        assert part_round(plan, Look(trajectory, look_again(trajectory, photo), look.source)) is None

    def test_is_inverted_as_the_photo_was_and_looked_at_once(self, backbone: Backbone) -> None:
        plan, look = look_of(backbone, (256, 256), SMALL)
        part = part_round(plan, look)
        closer = look_closer(backbone, look, [plan], part)
        assert closer.view.geometry.box == part == closer.trajectory.geometry.box
        assert (closer.trajectory.method, closer.trajectory.steps) == ("direct", 2)
        assert look_closer(backbone, look, [plan], part).source is closer.source
        for left in range(PARTS_KEPT):
            look_closer(backbone, look, [plan], (left, 0, left + 64, 64))
        assert part not in look.source.parts and len(look.source.parts) == PARTS_KEPT
        assert look_closer(backbone, look, [plan], None) is look


class Phases(Progress):
    """Notes the names of the phases."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callback]:
        self.names.append(name)
        with super().phase(name, total) as callback:
            yield callback


@pytest.fixture(scope="module")
def flower() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's orange flower, small before its own leaves out of focus, and where it is, `(H, W)` bool."""
    photo = np.asarray(Image.fromarray(load_sample_image("flower.jpg")).resize((96, 64), Image.Resampling.BOX))
    hue, saturation, value = cv2.split(cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2HSV))
    orange = ((hue < 40) | (hue > 350)) & (saturation > 0.5) & (value > 0.4)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(orange.astype(np.uint8), np.ones((3, 3))))
    largest = labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    leaves = cv2.inpaint(photo, cv2.dilate(largest.astype(np.uint8), np.ones((5, 5))), 5, cv2.INPAINT_TELEA)
    wide = cv2.resize(leaves, (400, 320), interpolation=cv2.INTER_CUBIC)
    where = np.zeros((320, 400), bool)
    where[120:184, 230:326] = largest
    wide[where] = photo[largest]
    assert 0.005 < where.mean() < 0.02, "the photo is not the one that was meant"
    return wide, where


def purple(image: Image.Image) -> np.ndarray:
    hue, saturation, _ = cv2.split(cv2.cvtColor(np.asarray(image.convert("RGB"), np.float32) / 255, cv2.COLOR_RGB2HSV))
    return (hue > 255) & (hue < 330) & (saturation > 0.25)


def test_a_small_flower_gets_its_colour_which_it_does_not_from_afar(
    bundled: Backbone, flower: tuple[np.ndarray, np.ndarray]
) -> None:
    photo, where = flower
    phases = Phases()
    editor = Editor(bundled, progress=phases)
    trajectory = editor.invert(photo, ORANGE)
    closer = editor.edit(trajectory, PURPLE, attempts=1)
    left, top, right, bottom = closer.settings["region"]
    assert where[top:bottom, left:right].sum() == where.sum()
    assert purple(closer.image)[where].mean() > 0.8
    mask = np.asarray(closer.mask) > 127
    assert (mask & where).sum() / (mask | where).sum() > 0.6
    assert_untouched_outside(closer, photo)
    phases.names.clear()
    begins = np.asarray(editor.mask(trajectory, PURPLE)) > 127
    assert begins.any() and (begins & mask).sum() > 0.9 * begins.sum()
    assert phases.names == [], "the mask asked for another inversion"

    assert purple(editor.edit(trajectory, PURPLE, attempts=1, closer=0.0).image)[where].mean() < 0.2

    phases.names.clear()
    again = editor.edit(trajectory, PURPLE, attempts=1)
    assert phases.names == ["edit"], "the part was inverted, or looked at, once more"
    assert again.image.tobytes() == closer.image.tobytes()

    afresh = edit_real(photo, ORANGE, PURPLE, attempts=1, model="bundled", device="cpu")
    assert afresh.settings["region"] == closer.settings["region"]
    assert np.abs(pixels(afresh.image) - pixels(closer.image)).max() <= 2


def test_the_recipe_of_a_closer_look_makes_it_again(
    bundled: Backbone, flower: tuple[np.ndarray, np.ndarray], tmp_path: Any
) -> None:
    photo, _ = flower
    first = Editor(bundled).edit(Editor(bundled).invert(photo, ORANGE), PURPLE, photo=photo, attempts=1)
    first.save(tmp_path / "purple.png")
    recipe = read_recipe(tmp_path / "purple.png")
    assert recipe is not None and recipe.region == first.settings["region"]
    again = edit_real(photo, recipe.caption, recipe.new_caption, region=recipe.region, **recipe.options())
    assert np.abs(pixels(again.image) - pixels(first.image)).max() <= 2
    left, top, right, bottom = recipe.region
    outside = np.ones(photo.shape[:2], bool)
    outside[top:bottom, left:right] = False
    assert np.array_equal(pixels(first.unedited())[outside], photo[outside])
    assert first.sheet().width > 400


def test_inpainting_sees_what_the_edit_saw_unless_its_mask_reaches_beyond(
    bundled: Backbone, flower: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, where = flower
    corner = where.copy()
    corner[:20, :20] = True
    seen: list[Any] = []

    def spy(*args: Any, region: Any, **options: Any) -> Any:
        seen.append(region)
        return inpaint_photo(*args, region=region, **options)

    monkeypatch.setattr("editing.compare.inpaint_photo", spy)
    comparison = compare_with_inpainting(photo, ORANGE, PURPLE, mask=Image.fromarray(corner), model=bundled, attempts=1)
    part = comparison.edit.settings["region"]
    assert part is not None and set(seen[: len(seen) // 2]) == {part} and set(seen[len(seen) // 2 :]) == {None}
    drawn = {entry.name: entry.measures["outside_psnr"] for entry in comparison.entries}
    assert all(np.isfinite(value) for name, value in drawn.items() if "Telea" not in name), drawn


def test_edits_of_several_parts_come_in_their_order_and_each_part_is_inverted_once(
    bundled: Backbone, flower: tuple[np.ndarray, np.ndarray]
) -> None:
    photo, where = flower
    mask = where.copy()
    mask[20:60, 20:60] = True
    pink, phases = "a photo of a pink flower", Phases()
    editor = Editor(bundled, progress=phases)
    trajectory = editor.invert(photo, ORANGE, inversion="direct", steps=6)
    assert phases.names == ["invert"]
    both = {"attempts": 1, "include_mask": Image.fromarray(mask)}
    settings = [EditSettings(attempts=1), EditSettings(**both), EditSettings(attempts=1), EditSettings(**both)]
    results = editor.edit_many(trajectory, [PURPLE, PURPLE, pink, pink], settings)
    assert [result.settings["new_caption"] for result in results] == [PURPLE, PURPLE, pink, pink]
    parts = [result.settings["region"] for result in results]
    assert parts[0] == parts[2] != parts[1] == parts[3]
    assert phases.names.count("invert") == 1 + len(set(parts) - {None})


def test_a_mask_may_do_without_another_inversion(bundled: Backbone, flower: tuple[np.ndarray, np.ndarray]) -> None:
    photo, _ = flower
    phases, told = Phases(), Phases()
    editor = Editor(bundled, progress=phases)
    trajectory = editor.invert(photo, ORANGE, inversion="direct", steps=6)
    afar = editor.mask(trajectory, PURPLE, may_invert=False, progress=told)
    assert told.names == ["look"]
    closer = editor.mask(trajectory, PURPLE, progress=told)
    assert told.names == ["look", "invert", "look"] and phases.names == ["invert"]
    assert closer.tobytes() != afar.tobytes()
    assert editor.mask(trajectory, PURPLE, may_invert=False).tobytes() == closer.tobytes()
