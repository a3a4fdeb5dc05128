"""A folder of PIE-Bench's shape is read as the benchmark's own evaluation reads it."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backbones.errors import EditRealError
from benchmarks.pie_bench import decode_mask, read_pie_bench

HEIGHT, WIDTH = 12, 20


def encode(mask: np.ndarray) -> list[int]:
    """First pixel and length of every run of True, pixel by pixel."""
    runs, place = [], 0
    for value, group in groupby(mask.reshape(-1).tolist()):
        length = len(list(group))
        runs += [place, length] if value else []
        place += length
    return runs


def interior(mask: np.ndarray) -> np.ndarray:
    return mask[1:-1, 1:-1]


def entry_of(**changed: Any) -> dict[str, Any]:
    return {
        "image_path": "1_change_object_80/1_artificial/111000000000.png",
        "original_prompt": "a photo of a [cat] on a table",
        "editing_prompt": "a photo of a [Dog] on a table",
        "editing_instruction": "turn the cat into a dog",
        "editing_type_id": "1",
        "blended_word": "cat dog",
        "mask": [25, 3, 45, 3],
        **changed,
    }


def pixels_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def write_folder(folder: Path, entries: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "mapping_file.json").write_text(json.dumps(entries), encoding="utf-8")
    for seed, entry in enumerate(entries.values()):
        path = folder / "annotation_images" / entry["image_path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels_of(seed)).save(path)
    return folder


@pytest.mark.parametrize(("height", "width"), [(HEIGHT, WIDTH), (WIDTH, HEIGHT), (3, 3), (64, 64)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_mask_comes_back_but_for_its_frame(height: int, width: int, share: float) -> None:
    mask = np.random.default_rng(0).random((height, width)) < share
    decoded = decode_mask(encode(mask), height, width)
    assert decoded.dtype == bool and decoded.shape == (height, width)
    np.testing.assert_array_equal(interior(decoded), interior(mask))
    assert decoded[0].all() and decoded[-1].all() and decoded[:, 0].all() and decoded[:, -1].all()


def test_runs_may_overlap_come_in_any_order_and_run_past_the_end() -> None:
    row = WIDTH * 5
    together = interior(decode_mask([row + 6, 4, row + 4, 4, row + 4, 1, row + 12, 0], HEIGHT, WIDTH))
    assert np.flatnonzero(together).tolist() == [4 * (WIDTH - 2) + x for x in range(3, 9)]
    size = HEIGHT * WIDTH
    tail = decode_mask([size - WIDTH - 3, 10**30, 10**25, 10**25, size, 1], HEIGHT, WIDTH)
    assert np.argwhere(interior(tail)).tolist() == [[HEIGHT - 3, WIDTH - 4], [HEIGHT - 3, WIDTH - 3]]


@pytest.mark.parametrize(
    ("mask", "got"),
    [([5], "got 1 values"), ([5, 2, 9], "got 3 values"), ([-1, 4], "-1"), ([4, -2], "-2"), ([0.5, 1], "0.5")],
)
def test_a_mask_that_is_no_pairs_of_runs(mask: list[Any], got: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bench", {"000000000007": entry_of(mask=mask)})
    with pytest.raises(EditRealError, match=f"000000000007.*pairs of first pixel and length.*{got}"):
        read_pie_bench(folder)


def test_an_entry_becomes_an_edit(tmp_path: Path) -> None:
    entries = {
        "111000000000": entry_of(),
        "000000000001": entry_of(
            image_path="0_random_140/000000000001.png",
            original_prompt="a [red] car",
            editing_prompt="a car",
            editing_type_id="0",
            blended_word="",
            mask=[],
        ),
    }
    first, second = read_pie_bench(write_folder(tmp_path / "bench", entries))
    assert (first.name, first.kind) == ("111000000000", "change object")
    assert first.source == "1_change_object_80/1_artificial/111000000000.png"
    assert (first.caption, first.new_caption) == ("a photo of a cat on a table", "a photo of a Dog on a table")
    assert first.blend_words == ("cat", "dog") and first.reweight == {}
    assert first.asked_color is None and first.asked_label is None
    np.testing.assert_array_equal(first.photo, pixels_of(0))
    assert np.argwhere(interior(first.region)).tolist() == [[y, x] for y in (0, 1) for x in (4, 5, 6)]
    assert (second.name, second.kind, second.caption, second.new_caption) == (
        "000000000001",
        "random",
        "a red car",
        "a car",
    )
    assert second.blend_words is None and not interior(second.region).any()
    np.testing.assert_array_equal(second.photo, pixels_of(1))


@pytest.mark.parametrize(
    ("blended", "words"),
    [
        ("cat dog", ("cat", "dog")),
        ("table table", ("table",)),
        ("cat horse", ("cat",)),
        ("horse dog", ("dog",)),
        ("tab do", None),
        ("dog cat", None),
        ("cat", None),
        ("", None),
    ],
)
def test_blended_words_count_where_their_prompt_holds_them(
    blended: str, words: tuple[str, ...] | None, tmp_path: Path
) -> None:
    (edit,) = read_pie_bench(write_folder(tmp_path / "bench", {"a": entry_of(blended_word=blended)}))
    assert edit.blend_words == words


def test_every_type_has_its_kind(tmp_path: Path) -> None:
    entries = {number: entry_of(editing_type_id=number, image_path=f"{number}.png") for number in "0123456789"}
    kinds = [edit.kind for edit in read_pie_bench(write_folder(tmp_path / "bench", entries))]
    assert kinds == [
        "random",
        "change object",
        "add object",
        "delete object",
        "change attribute content",
        "change attribute pose",
        "change attribute color",
        "change attribute material",
        "change background",
        "change style",
    ]


def test_a_gray_photo_is_read_as_rgb(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bench", {"a": entry_of()})
    gray = pixels_of(5)[..., 0]
    Image.fromarray(gray).save(folder / "annotation_images" / entry_of()["image_path"])
    (edit,) = read_pie_bench(folder)
    np.testing.assert_array_equal(edit.photo, np.repeat(gray[..., None], 3, -1))


@pytest.mark.parametrize("text", [None, "{", "[]", '{"a": []}'])
def test_a_folder_without_a_mapping_file_of_entries(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "mapping_file.json").write_text(text)
    with pytest.raises(EditRealError, match=r"expected a (PIE-Bench folder with mapping_file|JSON object of entries)"):
        read_pie_bench(tmp_path)


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_photo_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bench", {"a": entry_of()})
    photo = folder / "annotation_images" / entry_of()["image_path"]
    photo.unlink()
    if content:
        photo.write_bytes(content)
    with pytest.raises(EditRealError, match="expected the photo of entry a at"):
        read_pie_bench(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"editing_type_id": "12"}, "'12' in a"),
        ({"editing_prompt": None}, "editing_prompt as str"),
        ({"mask": None}, "mask as list"),
        ({"mask": "0 5"}, "mask as list"),
    ],
)
def test_an_entry_that_is_not_as_in_the_benchmark(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bench", {"a": entry_of(**changed)})
    with pytest.raises(EditRealError, match=message):
        read_pie_bench(folder)
