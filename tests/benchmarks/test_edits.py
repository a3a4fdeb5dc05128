"""The committed list asks what it says it asks, and the photos' regions are the right pixels."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backbones.errors import EditRealError
from benchmarks.choose_edits import (
    ASKED,
    GROUPS,
    add_background,
    choose_edits,
    choose_photos,
    describe,
    main,
    swap_background,
)
from benchmarks.edits import FIELDS, LIST, read_edits
from training.captions import BACKGROUNDS, SPECIES
from training.classifier import LABELS
from training.colors import FLOWER_COLORS, color_masks
from workshop.overlap import iou

SIDE = 72
PAINTS = {
    "white": (245, 245, 240),
    "yellow": (250, 220, 20),
    "red": (200, 10, 20),
    "pink": (240, 120, 180),
    "orange": (240, 130, 20),
    "purple": (130, 50, 190),
    "green": (40, 110, 30),
    "blue": (30, 60, 200),
    "black": (10, 10, 10),
}
BREEDS = {"abyssinian": "cat", "bengal": "cat", "bulldog": "dog"}
BUNDLED = Path(__file__).parents[2] / "backbones" / "bundled"
KNOWN_WORDS = set(json.loads((BUNDLED / "edit_real.json").read_text(encoding="utf-8"))["known_words"])
COMMITTED: list[dict[str, Any]] = json.loads(LIST.read_text(encoding="utf-8"))
ARCHIVES = sorted(Path(os.environ.get("EDIT_REAL_PHOTOS", "none")).glob("*.zip"))
needs_archives = pytest.mark.skipif(not ARCHIVES, reason="EDIT_REAL_PHOTOS names no folder with the photo archives")


def disc() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
    return y**2 + x**2 < (SIDE / 4) ** 2


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_flowers(path: Path) -> Path:
    """A disc on a plain ground for each colour and species, of the test split, and one of the train split."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        rows = []
        for number, (color, species) in enumerate((c, s) for c in FLOWER_COLORS for s in SPECIES):
            background = BACKGROUNDS[number % 3]  # never white, which a white flower would not stand out from
            image = np.where(disc()[..., None], PAINTS[color], PAINTS[background]) + rng.normal(0, 4, (SIDE, SIDE, 3))
            split = "train" if number == 7 else "test"
            rows.append(
                {
                    "file_name": f"{split}/{species}_{color}.png",
                    "flower": species,
                    "color": color,
                    "color_confidence": 0.9,
                    "background": background if number % 2 else None,
                    "split": split,
                }
            )
            archive.writestr(rows[-1]["file_name"], png(np.clip(image, 0, 255).astype(np.uint8)))
        archive.writestr("metadata.jsonl", "\n".join(map(json.dumps, rows)))
    return path


def trimap() -> np.ndarray:
    """1 the animal, 2 the background, 3 a border two pixels wide."""
    classes = np.full((SIDE, SIDE), 2, np.uint8)
    classes[10:50, 20:60] = 3
    classes[12:48, 22:58] = 1
    return classes


def write_pets(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        rows = []
        for breed, animal in BREEDS.items():
            row = {"file_name": f"test/{breed}.png", "animal": animal, "breed": breed, "split": "test"}
            rows.append({**row, "mask": f"masks/{breed}.png"})
            archive.writestr(row["file_name"], png(np.full((SIDE, SIDE, 3), 120, np.uint8)))
            archive.writestr(rows[-1]["mask"], png(trimap()))
        archive.writestr("metadata.jsonl", "\n".join(map(json.dumps, rows)))
    return path


THINGS = {
    "clothes": [{"thing": "shirt", "label": "Shirt", "color": color} for color in ("black", "blue", "red")],
    "fruit": [{"thing": "lime", "things": "limes", "label": "Fruit/Lime", "color": "green"}],
    "car": [{"thing": "car", "color": color} for color in ("white", "red")],
}


def write_things(path: Path) -> Path:
    """Garments, a fruit and cars, each a disc of its colour on a ground that it stands out from."""
    mask = io.BytesIO()
    Image.fromarray(disc()).save(mask, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        rows = []
        for kind, things in THINGS.items():
            for number, thing in enumerate(things):
                row = {"file_name": f"test/{kind}-{number}.png", "split": "test", "color_confidence": 0.9, **thing}
                if kind == "clothes":
                    row |= {"mask": f"masks/{kind}-{number}.png", "separation": 5.0}
                    archive.writestr(row["mask"], mask.getvalue())
                rows.append(row)
                image = np.where(disc()[..., None], PAINTS[thing["color"]], (150, 150, 200)).astype(np.uint8)
                archive.writestr(row["file_name"], png(image))
        archive.writestr("metadata.jsonl", "\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("archives")
    written = (write_flowers, write_pets, write_things)
    return [write(folder / f"{write.__name__}.zip") for write in written]


@pytest.fixture(scope="module")
def made(archives: list[Path]) -> list[dict[str, Any]]:
    """A list chosen from the made archives."""
    return choose_edits(choose_photos(archives, "test"))


def check_entry(entry: dict[str, Any]) -> None:
    """What must hold of every edit, whichever archives it is of."""
    old, new = entry["caption"].split(), entry["new_caption"].split()
    assert re.fullmatch(r"[\w-]+", entry["name"])
    for words in (old, new):
        pairs = [(word, after) for word, after in pairwise(words) if word in ("a", "an")]
        assert pairs and all((word == "an") == (after[0] in "aeiou") for word, after in pairs)
    gone, come = Counter(old) - Counter(new), Counter(new) - Counter(old)
    gone, come = ({word for word in words if word not in ("a", "an")} for words in (gone, come))
    phrase = {"with", "background"}
    weights = entry["reweight"]
    goals = (entry["asked_color"], entry["asked_label"])
    match entry["kind"], entry["region"]:
        case "colour swap", "object":
            assert gone < set(FLOWER_COLORS) and come < set(FLOWER_COLORS) and goals == (*come, None)
        case "colour of clothes" | "colour of fruit" | "colour of a car", "object":
            assert come < set().union(*ASKED.values()) and goals == (*come, None)
        case "small animal", "object":
            assert gone | come == {"cat", "dog"} and goals == (None, *come)
        case "species swap", "object":
            kinds = set(SPECIES) if gone <= set(SPECIES) else {"cat", "dog"}
            assert gone < kinds and come < kinds and goals == (None, *come)
        case "background swap", "background":
            assert gone < set(BACKGROUNDS) and come < set(BACKGROUNDS) and goals == (*come, None)
            assert old[-2] in gone and new[-2] in come
        case "words added", "object":
            assert not gone and come < set(FLOWER_COLORS) and goals == (*come, None)
        case "words added", "background":
            assert not gone and come - phrase < set(BACKGROUNDS) and goals == (*(come - phrase), None)
        case "words removed", "object":
            assert not come and gone < set(FLOWER_COLORS) and goals == (None, None)
        case "words removed", "background":
            assert not come and gone > phrase and gone - phrase < set(BACKGROUNDS) and goals == (None, None)
        case "reweighting", "object":
            assert old == new and len(weights) == 1 and set(weights) < set(old) and goals == (None, None)
        case other:
            pytest.fail(f"no such edits: {other}")
    assert len(gone) == len(come) == 1 or not entry["kind"].endswith("swap")
    assert bool(weights) == (entry["kind"] == "reweighting") == (old == new)
    assert all(new.count(word) == 1 for word in (*come, *weights))


@pytest.mark.parametrize("entry", COMMITTED, ids=lambda entry: entry["name"])
def test_every_committed_edit_is_sound(entry: dict[str, Any]) -> None:
    assert tuple(entry) == FIELDS
    assert entry["file_name"].startswith("test/")
    assert entry["asked_color"] in (None, *PAINTS) and entry["asked_label"] in (None, *LABELS)
    assert {*entry["caption"].split(), *entry["new_caption"].split()} <= KNOWN_WORDS
    check_entry(entry)


def test_the_committed_list_is_large_and_even() -> None:
    assert len(COMMITTED) >= 160
    assert len({entry["name"] for entry in COMMITTED}) == len(COMMITTED)
    assert len({json.dumps({**entry, "name": ""}) for entry in COMMITTED}) == len(COMMITTED)
    assert Counter(entry["kind"] for entry in COMMITTED) == {
        "colour swap": 36,
        "species swap": 24,
        "background swap": 14,
        "words added": 14,
        "words removed": 10,
        "reweighting": 16,
        "colour of clothes": 32,
        "colour of fruit": 16,
        "colour of a car": 12,
        "small animal": 8,
    }
    per_photo = Counter(entry["file_name"] for entry in COMMITTED)
    assert len(per_photo) > 36 and max(per_photo.values()) <= 4
    asked = Counter(entry["asked_color"] for entry in COMMITTED if entry["kind"] == "colour swap")
    assert set(asked) == set(FLOWER_COLORS) and max(asked.values()) - min(asked.values()) <= 2
    weights = [weight for entry in COMMITTED for weight in entry["reweight"].values()]
    assert sum(weight > 1 for weight in weights) == sum(weight < 1 for weight in weights) == 8


def test_the_list_is_one_edit_a_line() -> None:
    lines = LIST.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line.rstrip(",")) for line in lines[1:-1]] == COMMITTED


def test_what_a_trimap_leaves_open_is_in_no_overlap(archives: list[Path], made: list[dict[str, Any]]) -> None:
    path = archives[0].parent / "edits.json"
    path.write_text(json.dumps(made), encoding="utf-8")
    edits = read_edits(archives, path)
    animal, flower = (next(edit for edit in edits if edit.name.startswith(name)) for name in ("bengal", "rose"))
    np.testing.assert_array_equal(animal.border, trimap() == 3)
    assert flower.border is None
    sure = trimap() == 1
    assert iou(sure, animal.region) < 0.9 and iou(sure, animal.region, animal.border) == 1
    assert iou(np.ones_like(sure), animal.region, animal.border) < 0.5  # ground that it takes still counts


def test_articles_and_backgrounds() -> None:
    assert describe("tulip", "orange") == "a photo of an orange tulip"
    assert describe("cat", "abyssinian") == "a photo of an abyssinian cat"
    assert describe("rose", "red", "green") == "a photo of a red rose with a green background"
    assert describe("dog") == "a photo of a dog"


def test_photos_are_spread_over_the_split(archives: list[Path]) -> None:
    rows = choose_photos(archives, "test")[0]
    assert len(rows) == 32 and {row["split"] for row in rows} == {"test"}
    names = [row["file_name"] for row in rows]
    places = [names.index(row["file_name"]) for row in choose_photos(archives, "test", 8 / 36)[0]]
    assert places[0] == 0 and places[-1] == 31 and max(np.diff(places)) - min(np.diff(places)) <= 1
    assert [row["file_name"] for row in choose_photos(archives, "train")[0]] == ["train/rose_yellow.png"]
    with pytest.raises(EditRealError, match="'validation'"):
        choose_photos(archives, "validation")


def test_chosen_edits_are_sound_and_even(made: list[dict[str, Any]]) -> None:
    for entry in made:
        check_entry(entry)
    assert len({entry["name"] for entry in made}) == len(made)
    assert {entry["kind"] for entry in made} == {entry["kind"] for entry in COMMITTED}
    swaps = [entry for entry in made if entry["kind"] == "colour swap"]
    assert len(swaps) == 32
    assert set(Counter(entry["asked_color"] for entry in swaps).values()) <= {5, 6}
    assert max(Counter(entry["file_name"] for entry in swaps).values()) == 2  # 29 flowers
    dyed = [entry for entry in made if entry["kind"].startswith("colour of")]
    assert max(Counter(entry["file_name"] for entry in dyed).values()) <= 3
    flowers = Counter(entry["file_name"] for entry in made if "_" in entry["file_name"])
    assert max(flowers.values()) - min(flowers.values()) <= 1
    bulldogs = {entry["caption"] for entry in made if "bulldog" in entry["caption"]}
    assert bulldogs == {"a photo of a bulldog"}


@pytest.mark.parametrize("first", range(9))
def test_no_photo_has_a_second_edit_of_a_sort_before_all_have_one(first: int) -> None:
    rows = [
        {"file_name": f"{number}.png", "kind": "flower", "flower": "rose", "color": "red", "background": None}
        for number in range(12)
    ]
    for row in rows[first : first + 4]:
        row["background"] = "green"
    swaps = [
        entry["file_name"]
        for entry in choose_edits([rows, *[[]] * (len(GROUPS) - 1)])
        if entry["kind"] == "background swap"
    ]
    assert sorted(Counter(swaps).values()) == [1, 1, 1, 2]


def test_flower_and_background_never_share_a_color_word() -> None:
    row = {"flower": "rose", "color": "white", "background": "green"}
    assert set(swap_background(row)) == set(add_background(row)) == {"blue", "black"}


def test_a_caption_tells_the_truth(made: list[dict[str, Any]], archives: list[Path]) -> None:
    rows = {row["file_name"]: row for rows in choose_photos(archives, "test") for row in rows}
    for entry in made:
        row = rows[entry["file_name"]]
        words = set(entry["caption"].split())
        if "flower" in row:
            assert row["flower"] in words and words & set(FLOWER_COLORS) <= {row["color"]}
            assert ("background" in words) <= (row["background"] in words)
        elif "animal" in row:
            assert words & {row["animal"], row["breed"]} == words & {"cat", "dog", *BREEDS}
        else:
            assert row["color"] in words and words & {row["thing"], row["things"]}


def test_the_command_writes_the_same_list_again(
    made: list[dict[str, Any]], archives: list[Path], tmp_path: Path
) -> None:
    for name in ("one.json", "two.json"):
        main(archives, tmp_path / name, "test")
        assert json.loads((tmp_path / name).read_text()) == made
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_fewer_photos_give_fewer_edits(archives: list[Path]) -> None:
    few = choose_edits(choose_photos(archives, "test", 6 / 36))
    plants_and_pets = [entry for entry in few if not entry["kind"].startswith(("colour of", "small"))]
    assert len({entry["file_name"] for entry in plants_and_pets}) <= 6
    assert Counter(entry["kind"] for entry in few)["colour swap"] == 6


def write_list(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def entry_of(file_name: str, region: str = "object", **changed: Any) -> dict[str, Any]:
    captions = {"caption": "a photo of a red rose", "new_caption": "a photo of a pink rose"}
    asked = {"reweight": {"pink": 2.0}, "asked_color": "pink", "asked_label": None}
    return {
        "name": f"{Path(file_name).stem}-{region}",
        "kind": "colour swap",
        "file_name": file_name,
        "region": region,
        **captions,
        **asked,
        **changed,
    }


def test_the_region_is_the_object_or_the_rest(archives: list[Path], tmp_path: Path) -> None:
    names = ("test/rose_red.png", "test/bengal.png")
    chosen = [entry_of(name, region) for name in names for region in ("object", "background")]
    flower, around, pet, behind = read_edits(archives, write_list(tmp_path / "list.json", *chosen))
    assert flower.region.dtype == bool and flower.region.shape == flower.photo.shape[:2] == (SIDE, SIDE)
    assert (flower.region & disc()).sum() / (flower.region | disc()).sum() > 0.9
    assert color_masks(flower.photo)["red"][flower.region].mean() > 0.9
    np.testing.assert_array_equal(around.region, ~flower.region)
    expected = np.zeros((SIDE, SIDE), bool)
    expected[10:50, 20:60] = True
    np.testing.assert_array_equal(pet.region, expected)
    np.testing.assert_array_equal(behind.region, ~expected)


def test_an_edit_has_what_its_entry_says(archives: list[Path], tmp_path: Path) -> None:
    (edit,) = read_edits(archives, write_list(tmp_path / "list.json", entry_of("test/rose_red.png")))
    assert (edit.name, edit.kind, edit.source) == ("rose_red-object", "colour swap", "test/rose_red.png")
    assert (edit.caption, edit.new_caption) == ("a photo of a red rose", "a photo of a pink rose")
    assert edit.reweight == {"pink": 2.0} and edit.blend_words is None
    assert (edit.asked_color, edit.asked_label) == ("pink", None)
    with zipfile.ZipFile(archives[0]) as archive:
        np.testing.assert_array_equal(edit.photo, np.array(Image.open(archive.open("test/rose_red.png"))))


def test_only_the_photos_of_the_list_are_read(archives: list[Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(archives[0]) as archive, zipfile.ZipFile(tmp_path / "broken.zip", "w") as broken:
        broken.writestr("metadata.jsonl", archive.read("metadata.jsonl"))
        broken.writestr("test/rose_red.png", archive.read("test/rose_red.png"))
        broken.writestr("test/rose_white.png", b"no picture")
    path = write_list(tmp_path / "list.json", entry_of("test/rose_red.png"))
    assert len(read_edits([tmp_path / "broken.zip"], path)) == 1
    path = write_list(tmp_path / "list.json", entry_of("test/rose_red.png"), entry_of("test/rose_white.png"))
    with pytest.raises(EditRealError, match=r"broken\.zip"):
        read_edits([tmp_path / "broken.zip"], path)


def test_edits_of_an_archive_not_given_are_left_out(
    made: list[dict[str, Any]], archives: list[Path], tmp_path: Path
) -> None:
    path = write_list(tmp_path / "list.json", *made)
    assert [edit.name for edit in read_edits(archives, path)] == [entry["name"] for entry in made]
    pets = [entry["name"] for entry in made if entry["file_name"][5:-4] in BREEDS]
    assert pets and [edit.name for edit in read_edits(archives[1:2], path)] == pets


def test_archives_without_any_photo_of_the_list(archives: list[Path]) -> None:
    for given in (archives, []):
        with pytest.raises(EditRealError, match="expected archives with the photos of"):
            read_edits(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "as JSON"),
        ("{}", "JSON list"),
        ("[]", "JSON list"),
        ("[1]", "JSON list"),
        (json.dumps([{"name": "x"}]), "without kind"),
        (json.dumps([entry_of("test/rose_red.png", "middle")]), "'middle'"),
        (json.dumps([entry_of("test/rose_gray.png")]), "whose object is known"),
    ],
)
def test_a_list_that_cannot_be_used(text: str, message: str, archives: list[Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(archives[0]) as archive:
        row = json.loads(archive.read("metadata.jsonl").splitlines()[0])
        plain = {**row, "file_name": "test/rose_gray.png", "color": None}
        with zipfile.ZipFile(tmp_path / "gray.zip", "w") as gray:
            gray.writestr("metadata.jsonl", json.dumps(plain))
            gray.writestr("test/rose_gray.png", archive.read(row["file_name"]))
    path = tmp_path / "list.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EditRealError, match=message):
        read_edits([*archives, tmp_path / "gray.zip"], path)


def test_files_that_are_missing_or_no_archives(archives: list[Path], tmp_path: Path) -> None:
    with pytest.raises(EditRealError, match="as JSON"):
        read_edits(archives, tmp_path / "none.json")
    (tmp_path / "text.zip").write_text("no zip")
    for name in ("none.zip", "text.zip"):
        with pytest.raises(EditRealError, match="expected a zip archive"):
            read_edits([tmp_path / name])


@needs_archives
def test_the_committed_photos_are_of_the_test_split() -> None:
    splits = {}
    for path in ARCHIVES:
        with zipfile.ZipFile(path) as archive:
            rows = map(json.loads, archive.read("metadata.jsonl").splitlines())
            splits.update({row["file_name"]: row["split"] for row in rows})
    assert {splits[entry["file_name"]] for entry in COMMITTED} == {"test"}
    edits = read_edits(ARCHIVES)
    assert [edit.name for edit in edits] == [entry["name"] for entry in COMMITTED]
    assert all(0.02 < edit.region.mean() < 0.98 for edit in edits)


@needs_archives
@pytest.mark.slow
def test_the_committed_list_can_be_made_again() -> None:
    assert choose_edits(choose_photos(ARCHIVES, "test")) == COMMITTED


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"asked_color": "mauve"}, "mauve"), ({"asked_label": "horse"}, "horse"), ({"region": "sky"}, "sky")],
)
def test_what_cannot_be_judged_is_refused(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    path = write_list(tmp_path / "list.json", {**entry_of("test/rose_red.png"), **wrong})
    with pytest.raises(EditRealError, match=message):
        read_edits([], path)


def test_two_edits_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write_list(tmp_path / "list.json", entry_of("test/rose_red.png"), entry_of("test/rose_red.png"))
    with pytest.raises(EditRealError, match="rose_red-object"):
        read_edits([], path)
