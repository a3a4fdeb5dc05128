import csv
import dataclasses
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel
from PIL import Image
from skimage.metrics import structural_similarity

from backbones.errors import EditRealError
from backbones.loading import load_backbone
from editing.compare import MEASURES, Comparison, compare_with_inpainting
from editing.editor import Editor
from editing.likeness import edge_correlation, ssim, ssim_map
from editing.pictures.page import comparison_page
from tests.editing.pictures.sheets import share_of

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

CAPTION, NEW = "a photo of a red rose", "a photo of a <green> rose & hat"


def picture(height: int = 48, width: int = 40, seed: int = 0) -> np.ndarray:
    """Noise over a gradient, `(H, W, 3)` uint8."""
    y, x = np.mgrid[:height, :width]
    gradient = np.stack([255 * y / height, 255 * x / width, 128 + 100 * np.sin(x / 9)], -1)
    return (gradient + np.random.default_rng(seed).normal(0, 8, gradient.shape)).clip(0, 255).astype(np.uint8)


def left_third() -> np.ndarray:
    mask = np.zeros((48, 40), bool)
    mask[:, :13] = True
    return mask


def compare(model_folder: Path, img: Any = None, **options: Any) -> Comparison:
    options = {"inversion": "direct", "steps": 2, "refinement": "plain", "device": "cpu", **options}
    return compare_with_inpainting(picture() if img is None else img, CAPTION, NEW, model=model_folder, **options)


@pytest.fixture(scope="module", autouse=True)
def tiny(model_folder: Path) -> Path:
    """One prediction type will do for all."""
    return model_folder


@pytest.fixture(scope="module")
def comparison(tiny: Path) -> Comparison:
    return compare(tiny, mask=left_third())


def test_every_method_is_compared_under_every_mask(comparison: Comparison, tiny: Path) -> None:
    names = ["edit-real", "blended inpainting, our mask", "Telea, our mask"]
    assert [entry.name for entry in compare(tiny).entries] == names
    assert [entry.name for entry in comparison.entries] == [
        *names,
        "blended inpainting, your mask",
        "Telea, your mask",
    ]
    ours, blended, telea, *yours = comparison.entries
    assert ours.image.tobytes() == comparison.edit.image.tobytes()
    assert ours.mask.tobytes() == blended.mask.tobytes() == telea.mask.tobytes()
    for entry in yours:
        assert np.array_equal(np.asarray(entry.mask) > 0, left_third())


def test_outside_every_mask_the_bytes_are_the_photos(comparison: Comparison) -> None:
    for entry in comparison.entries:
        outside = np.asarray(entry.mask) == 0
        assert outside.any() and not outside.all()
        assert np.array_equal(np.asarray(entry.image)[outside], picture()[outside])


def test_the_measures(comparison: Comparison) -> None:
    for entry in comparison.entries:
        measures = entry.measures
        assert list(measures) == list(MEASURES)
        assert measures["mask_share"] == pytest.approx(100 * (np.asarray(entry.mask) > 0).mean())
        assert measures["change_inside"] > 0 and entry.seconds > 0
        assert -1 <= measures["edge_correlation"] < 1
        before = "Telea" not in entry.name
        assert math.isfinite(measures["outside_ssim"]) == math.isfinite(measures["outside_psnr"]) == before


def test_the_seed_is_inpaintings(comparison: Comparison, tiny: Path) -> None:
    again, other = (compare(tiny, mask=left_third(), seed=seed) for seed in (0, 1))
    for first, same, different in zip(comparison.entries, again.entries, other.entries, strict=True):
        assert first.image.tobytes() == same.image.tobytes()
        assert (again.seed, other.seed) == (0, 1)
        assert (first.image.tobytes() != different.image.tobytes()) == ("blended" in first.name)


def test_the_region_is_everyones(tiny: Path) -> None:
    result = compare(tiny, region=(4, 4, 36, 36), local_blend=False)
    for entry in result.entries:
        outside = np.ones((48, 40), bool)
        outside[4:36, 4:36] = False
        assert np.array_equal(np.asarray(entry.mask) > 0, ~outside)


def test_an_empty_mask_of_ours_leaves_the_users(tiny: Path) -> None:
    everything = np.ones((48, 40), bool)
    result = compare(tiny, mask=left_third(), exclude_mask=everything)
    assert [entry.name for entry in result.entries] == ["edit-real", *result_names("your mask")]
    assert any("mask is empty" in warning for warning in result.warnings)
    assert "–" in result.table()
    assert [entry.name for entry in compare(tiny, exclude_mask=everything).entries] == ["edit-real"]


def test_a_mask_of_all_the_photo_has_nothing_to_fill_from(tiny: Path, comparison: Comparison) -> None:
    said = "your mask is all of the photo, so that there is nothing to fill from, and Telea leaves the photo as it was"
    assert said in compare(tiny, mask=np.ones((48, 40), bool)).warnings
    assert not any("nothing to fill from" in warning for warning in comparison.warnings)


def result_names(mask: str) -> list[str]:
    return [f"blended inpainting, {mask}", f"Telea, {mask}"]


def test_a_model_that_inpaints_is_compared_too(tiny: Path, tmp_path: Path) -> None:
    unet = UNet2DConditionModel.from_config({**UNet2DConditionModel.load_config(tiny / "unet"), "in_channels": 9})
    options = {"unet": unet, "safety_checker": None, "requires_safety_checker": False}
    StableDiffusionInpaintPipeline.from_pretrained(tiny, **options).save_pretrained(tmp_path / "inpainting")
    result = compare(tiny, mask=left_third(), inpaint_model=tmp_path / "inpainting")
    found = [entry for entry in result.entries if entry.name.startswith("inpainting model")]
    assert [entry.name for entry in found] == ["inpainting model, our mask", "inpainting model, your mask"]
    for entry in found:
        assert entry.measures["change_inside"] > 0 and math.isnan(entry.measures["outside_psnr"])


def test_a_loaded_model_will_do(comparison: Comparison, tiny: Path) -> None:
    loaded = load_backbone(tiny, "cpu")
    options = {"inversion": "direct", "steps": 2, "refinement": "plain", "mask": left_third()}
    result = compare_with_inpainting(picture(), CAPTION, NEW, model=loaded, **options)
    assert [e.image.tobytes() for e in result.entries] == [e.image.tobytes() for e in comparison.entries]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mask": left_third(), "region": (20, 0, 40, 48)}, "white pixels in the region"),
        ({"reweight": {"tulip": 2}}, "'tulip'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_the_inversion(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], sentence: str
) -> None:
    monkeypatch.setattr(Editor, "invert", lambda *_, **__: pytest.fail("inverted in vain"))
    with pytest.raises(EditRealError, match=sentence):
        compare(tiny, **options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mask": np.zeros((48, 40), bool)}, "white pixels"),
        ({"mask": np.ones((4, 4), bool)}, "4x4"),
        ({"inpaint_model": "THE SAME"}, "inpainting model"),
        ({"magic": 1}, "got magic"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_input_is_one_sentence(tiny: Path, options: dict[str, Any], sentence: str) -> None:
    if "inpaint_model" in options:
        options = {"inpaint_model": tiny}
    with pytest.raises(EditRealError, match=sentence) as caught:
        compare(tiny, **options)
    assert "\n" not in str(caught.value)


def test_the_table_and_the_csv_agree(comparison: Comparison) -> None:
    lines = [line.strip("| ").split(" | ") for line in comparison.table().splitlines()]
    rows = list(csv.DictReader(io.StringIO(comparison.csv())))
    assert list(rows[0]) == ["method", *MEASURES, "seconds", "seed", "picture"]
    assert [line[0] for line in lines[2:]] == [row["method"] for row in rows]
    for line, row in zip(lines[2:], rows, strict=True):
        for cell, (key, (_, form)) in zip(line[1:], MEASURES.items(), strict=False):
            assert cell == (format(float(row[key]), form) if row[key] else "–")
    assert rows[2]["outside_psnr"] == ""


class Reader(HTMLParser):
    """Holds that tags are closed in order, and gathers what the page refers to."""

    VOID = frozenset(("meta", "input", "img", "br"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else(comparison: Comparison) -> None:
    page = comparison.page()
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert NEW in reader.text and "<green>" not in page
    assert reader.tags.count("img") == len(comparison.entries) == len(reader.sources)
    assert all(source.startswith("data:image/jpeg;base64,") for source in reader.sources)
    assert set(re.findall(r"url\((.{10})", page)) == {"data:image"}
    without_pictures = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", page)
    assert not re.search(r"https?:|//|@import|<link|<iframe", without_pictures)
    assert 'type="range"' in page and "<script>" in page
    for entry in comparison.entries:
        assert entry.name in reader.text


def test_the_page_escapes_what_it_is_given() -> None:
    image, evil = Image.new("RGB", (4, 4)), '"><script>alert(1)</script>'
    page = comparison_page(evil, image, [(evil, image)], [{evil: evil}], [evil])
    assert "<script>alert" not in page


def test_what_is_saved(comparison: Comparison, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "comparison"
    comparison.save(folder)
    pictures = {"photo.png", "sheet.png", "our-mask.png", "your-mask.png"}
    pictures |= {entry.file_name for entry in comparison.entries}
    assert {path.name for path in folder.iterdir()} == pictures | {"index.html", "comparison.csv"}
    assert np.array_equal(np.asarray(Image.open(folder / "photo.png")), picture())
    for row in csv.DictReader((folder / "comparison.csv").open()):
        assert Image.open(folder / row["picture"]).size == (40, 48)
    assert (folder / "index.html").read_text(encoding="utf-8") == comparison.page()
    with pytest.raises(EditRealError, match="holds files"):
        comparison.save(folder)
    comparison.save(folder, overwrite=True)
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(EditRealError, match="choose another"):
            comparison.save(bad)


def test_the_photos_own_folder_is_refused(tiny: Path, tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    with pytest.raises(EditRealError, match="the photo's"):
        compare(tiny, tmp_path / "photo.png").save(tmp_path, overwrite=True)
    assert (tmp_path / "photo.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_page_is_written_whole_or_not_at_all(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, text: str, **_: object) -> None:
        path.write_bytes(text[:100].encode())
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(EditRealError, match="disk full"):
        comparison.save(tmp_path / "out")
    assert not {"index.html", "comparison.csv"} & {path.name for path in (tmp_path / "out").iterdir()}
    assert not list((tmp_path / "out").glob(".*"))


def test_a_sheet_shows_everything(comparison: Comparison) -> None:
    blank = Image.new("RGB", comparison.photo.size, "white")
    strange = Image.new("RGB", comparison.photo.size, (255, 0, 255))
    entries = [dataclasses.replace(entry, image=blank) for entry in comparison.entries]
    plain = dataclasses.replace(comparison, entries=tuple(entries))
    assert share_of(plain.sheet(), (255, 0, 255)) == 0
    for index, entry in enumerate(entries):
        one = [*entries[:index], dataclasses.replace(entry, image=strange), *entries[index + 1 :]]
        shown = share_of(dataclasses.replace(comparison, entries=tuple(one)).sheet(), (255, 0, 255))
        assert shown > 0.5 / (1 + len(comparison.masks) + len(entries)) / 2
    warned = dataclasses.replace(comparison, warnings=(*comparison.warnings, "something is odd"))
    assert warned.sheet().height > comparison.sheet().height
    unmasked = dataclasses.replace(comparison, masks={})
    assert unmasked.sheet().tobytes() != comparison.sheet().tobytes()


def test_edges_of_the_same_structure() -> None:
    photo = picture()
    everywhere = np.ones(photo.shape[:2], bool)
    assert edge_correlation(photo, photo, everywhere) == pytest.approx(1)
    negative = 255 - photo
    assert edge_correlation(negative, photo, everywhere) > 0.99
    blurred = [edge_correlation(cv2.GaussianBlur(photo, (0, 0), s), photo, everywhere) for s in (0.5, 1.0, 3.0)]
    assert 1 > blurred[0] > blurred[1] > blurred[2]
    assert edge_correlation(np.full_like(photo, 7), photo, everywhere) == 0
    assert math.isnan(edge_correlation(photo, np.full_like(photo, 7), everywhere))
    assert math.isnan(edge_correlation(photo, photo, ~everywhere))


def test_edges_are_compared_inside_alone() -> None:
    photo, mask = picture(), left_third()
    mixed = np.where(mask[..., None], photo, picture(seed=1))
    assert edge_correlation(mixed, photo, cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0) == pytest.approx(1)
    assert edge_correlation(mixed, photo, ~mask) < 0.9


def test_ssim_is_scikit_images() -> None:
    image, reference = picture() / 255, picture(seed=1) / 255
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, expected = structural_similarity(image, reference, channel_axis=2, full=True, **options)
    assert ssim_map(image, reference) == pytest.approx(expected.mean(-1), abs=1e-6)
    where = left_third()
    assert ssim(image, reference, where) == pytest.approx(expected.mean(-1)[where].mean(), abs=1e-6)
    assert ssim(image, image, where) == pytest.approx(1)
    assert math.isnan(ssim(image, image, ~np.ones_like(where)))
