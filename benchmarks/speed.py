r"""How long an edit takes: the published code and ours, with the same weights in one process, turn about.

    python -m benchmarks.speed --photos flower-photos-144.zip --photos clothes-photos-192.zip --out out/speed

writes `speed.md` (the tables), `speed.csv` (every timing) and `speed.png`. Every photo is a repeat: each way inverts
and edits it, then edits it again, before the next photo is taken. What is printed are medians with the least and the
most, and ratios of a photo's own timings. A timing whose threads had to wait for a core is dropped, and counted.
Nothing else should run on the machine; ratios carry over to others, seconds do not.
"""

from __future__ import annotations

import csv
import datetime
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import cv2
import diffusers
import numpy as np
import torch
import typer
from PIL import Image
from tqdm import tqdm

from backbones.loading import load_backbone
from backbones.photo import open_photo
from benchmarks.edits import LIST, Edit, read_edits
from benchmarks.judge import autoencoded
from benchmarks.measures import background, color_share
from benchmarks.stopwatch import Watch, watched
from benchmarks.ways import Drawn, OurWay, PublishedWay, Way
from editing.editor import Editor
from editing.settings import EditSettings
from inversion.invert import METHODS
from masks.composite import composite, enlarge_edit
from masks.refine import refine_mask, soften
from workshop.command import run_command
from workshop.overlap import iou
from workshop.tables import markdown

KINDS = ("colour swap", "colour of clothes")
EIGHT = ("red", "blue", "green", "yellow", "purple", "pink", "white", "orange")
REFERENCE = "published"
FIGURES = ("colour", "background", "iou")


@dataclass(frozen=True, eq=False)
class Timing:
    """One timing of one photo, with what the edit is worth where it made one."""

    photo: str
    way: str
    what: str
    watch: Watch
    worth: Mapping[str, float]


def make_ways(editor: Editor, steps: int) -> dict[str, Way]:
    """By name; `steps` are the published ones."""
    return {
        REFERENCE: PublishedWay(editor, steps),
        "published, frozen weights": PublishedWay(editor, steps, frozen=True),
        "ours": OurWay(editor),
        f"ours, {steps} steps": OurWay(editor, {"steps": steps}),
        "ours, direct": OurWay(editor, {"inversion": "direct"}),
        "ours, null-text one after another": OurWay(editor, {"null_text_block": 1}),
    }


def time_edit(
    edit: Edit, name: str, way: Way, editor: Editor, judge: Callable[[Edit, Drawn], Mapping[str, float]]
) -> Iterator[Timing]:
    """Inversion, first edit and second edit of one photo by one way."""
    photo, device = open_photo(edit.photo), editor.backbone.device
    with watched(device, way.denoisers) as first:
        with watched(device) as of_inversion:
            inverted = way.invert(photo, edit.caption)
        (drawn,) = way.edit(inverted, [edit.new_caption])
    worth = judge(edit, drawn)
    yield Timing(edit.name, name, "inversion", of_inversion, {})
    yield Timing(edit.name, name, "first edit", first, worth)
    with watched(device, way.denoisers) as second:
        way.edit(inverted, [edit.new_caption])
    yield Timing(edit.name, name, "second edit", second, {})


def time_eight(edit: Edit, editor: Editor) -> Iterator[Timing]:
    """Eight captions of one inverted photo, in one call and one by one."""
    way, photo, device = OurWay(editor), open_photo(edit.photo), editor.backbone.device
    captions = [edit.new_caption.replace(str(edit.asked_color), color) for color in EIGHT]
    inverted = way.invert(photo, edit.caption)
    with watched(device, way.denoisers) as together:
        way.edit(inverted, captions)
    with watched(device, way.denoisers) as singly:
        for caption in captions:
            way.edit(inverted, [caption])
    yield Timing(edit.name, "ours", "eight in one call", together, {})
    yield Timing(edit.name, "ours", "eight one by one", singly, {})


def time_inversions(edit: Edit, editor: Editor) -> Iterator[Timing]:
    """Every inversion alone, with its default settings."""
    photo = open_photo(edit.photo)
    for method in METHODS:
        way = OurWay(editor, {"inversion": method})
        with watched(editor.backbone.device, way.denoisers) as watch:
            way.invert(photo, edit.caption)
        yield Timing(edit.name, method, "inversion alone", watch, {})


def time_large(megapixels: float) -> Iterator[Timing]:
    """Mask and composite of a large photo; what the model would have drawn is made up, which costs the same."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width, side = round(height * 4 / 3), 128
    rng = np.random.default_rng(0)
    photo = cv2.resize(
        rng.integers(0, 256, (60, 80, 3)).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    source = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA) / 255.0
    soft = np.zeros((16, 16), np.float32)
    soft[5:11, 5:11] = 1.0
    edited = np.where(cv2.resize(soft, (side, side))[..., None] > 0.5, source[..., ::-1], source)
    device = torch.device("cpu")
    with watched(device) as masking:
        shares = soften(refine_mask(soft, photo, "grabcut"), photo, EditSettings.feather)
    with watched(device) as compositing:
        draw = enlarge_edit(photo, source, edited, shares, keep_detail=True, texture=1.0)
        composite(photo, draw, shares)
    for what, watch in (("mask", masking), ("composite", compositing)):
        yield Timing("", f"{megapixels:g} megapixels", what, watch, {})


def time_processes(edit: Edit) -> Iterator[Timing]:
    """Whole processes: importing, the help, an edit. Whether these had to wait for a core is not known."""
    with tempfile.TemporaryDirectory() as folder:
        photo, edited = Path(folder, "photo.png"), str(Path(folder, "edited.png"))
        Image.fromarray(edit.photo).save(photo)
        commands = {
            "import editing": ["-c", "import editing"],
            "edit-real --help": ["-m", "studio.cli", "--help"],
            "edit-real edit": ["-m", "studio.cli", "edit", str(photo), edit.caption, edit.new_caption, "-o", edited],
        }
        for name, command in commands.items():
            with watched(torch.device("cpu")) as watch:
                subprocess.run([sys.executable, *command], check=True, capture_output=True)
            yield Timing("", name, "process", watch, {})


def judge_with(editor: Editor) -> Callable[[Edit, Drawn], Mapping[str, float]]:
    """Colour reached (%), background (dB) and mask IoU of what a model drew, at its own size."""

    def judge(edit: Edit, drawn: Drawn) -> Mapping[str, float]:
        ceiling = autoencoded(editor.backbone, open_photo(edit.photo))
        size = ceiling.shape[1::-1]
        region = cv2.resize(edit.region.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
        return {
            "colour": color_share(drawn.image, region, str(edit.asked_color)),
            "background": background(drawn.image, ceiling, ~region)["psnr"],
            "iou": iou(drawn.mask, region),
        }

    return judge


def spread(values: Sequence[float]) -> str:
    """Median, and the least and the most."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "dropped"


def edit_table(timings: Sequence[Timing], ways: Sequence[str]) -> str:
    """A row a way: seconds, the published way's over its own, rows, memory, and what the edits are worth."""
    by: dict[tuple[str, str], dict[str, Timing]] = defaultdict(dict)
    for one in timings:
        if one.watch.alone:
            by[one.way, one.what][one.photo] = one
    rows = []
    for way in ways:
        first, reference = by[way, "first edit"], by[REFERENCE, "first edit"]
        ratios = [
            reference[photo].watch.seconds / one.watch.seconds for photo, one in first.items() if photo in reference
        ]
        worth = [one.worth for one in timings if one.way == way and one.what == "first edit"]
        counted = next((one.watch.rows for one in first.values()), {})
        rows.append(
            {
                "": way,
                "inversion s": spread([one.watch.seconds for one in by[way, "inversion"].values()]),
                "first edit s": spread([one.watch.seconds for one in first.values()]),
                f"{REFERENCE} / this": spread(ratios),
                "second edit s": spread([one.watch.seconds for one in by[way, "second edit"].values()]),
                "rows: plain / with gradient / backward": " / ".join(map(str, counted.values())),
                "peak MiB": f"{median(one.watch.mib for one in first.values()):.0f}" if first else "dropped",
                **{name: float(np.nanmean([one[name] for one in worth])) for name in FIGURES},
            }
        )
    return markdown(rows)


def plain_table(timings: Sequence[Timing], what: Sequence[str]) -> str:
    """Median seconds and memory of everything else."""
    found: dict[tuple[str, str], list[Watch]] = defaultdict(list)
    for one in timings:
        if one.what in what:
            found[one.way, one.what] += [one.watch] if one.watch.alone else []
    return markdown(
        [
            {
                "": way,
                "what": name,
                "s": spread([watch.seconds for watch in watches]),
                "peak MiB": f"{median(watch.mib for watch in watches):.0f}" if watches else "dropped",
            }
            for (way, name), watches in found.items()
        ]
    )


def draw(timings: Sequence[Timing], ways: Sequence[str], path: Path) -> None:
    """First and second edits of every way, as bars of seconds."""
    from matplotlib.figure import Figure

    def seconds(way: str, what: str) -> float:
        found = [one.watch.seconds for one in timings if (one.way, one.what) == (way, what) and one.watch.alone]
        return median(found) if found else float("nan")

    figure = Figure(figsize=(8, 0.55 * len(ways) + 1), layout="constrained")
    axes = figure.subplots()
    inversion, edit = ([seconds(way, what) for way in ways] for what in ("inversion", "second edit"))
    axes.barh(ways, inversion, label="inversion")
    axes.barh(ways, edit, left=inversion, label="edit")
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.legend()
    figure.savefig(path, dpi=150)


def write_csv(timings: Sequence[Timing], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["photo", "way", "what", "seconds", "waited", "mib", "plain", "graded", "backward", *FIGURES])
        for one in timings:
            watch, worth = one.watch, [one.worth.get(name, "") for name in FIGURES]
            figures = [watch.seconds, watch.waited, watch.mib]
            writer.writerow([one.photo, one.way, one.what, *figures, *watch.rows.values(), *worth])


def machine(device: torch.device) -> str:
    """Where and when: processor, threads, versions, date."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}, Python {platform.python_version()}"
    return f"{name}, {torch.get_num_threads()} threads; {versions}; {datetime.date.today():%Y-%m-%d}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def choose(photos: Sequence[Path], edits: Path, number: int) -> list[Edit]:
    """`number` of the list's changes of colour, evenly spread, each of a photo of its own."""
    found = {edit.source: edit for edit in read_edits(list(photos), edits) if edit.kind in KINDS}
    several = list(found.values())
    return [several[int(place)] for place in np.linspace(0, len(several) - 1, min(number, len(several)))]


def report(timings: Sequence[Timing], ways: Sequence[str], device: torch.device, steps: int) -> str:
    dropped = sum(not one.watch.alone for one in timings)
    photos = len({one.photo for one in timings if one.photo})
    return "\n\n".join(
        [
            f"{machine(device)}. {photos} photos, the published way with {steps} steps. Of {len(timings)} timings "
            f"{dropped} were dropped, since their threads had to wait for a core.",
            edit_table(timings, ways),
            plain_table(timings, ("eight in one call", "eight one by one")),
            plain_table(timings, ("inversion alone",)),
            plain_table(timings, ("mask", "composite", "process")),
        ]
    )


def main(
    photos: Annotated[list[Path], typer.Option(help="the photo archives")],
    out: Annotated[Path, typer.Option(help="the folder to write")],
    edits: Annotated[Path, typer.Option(help="the list of edits")] = LIST,
    number: Annotated[int, typer.Option(min=1, help="photos, each of which is a repeat")] = 5,
    steps: Annotated[int, typer.Option(min=2, help="of the published way")] = 50,
    way: Annotated[list[str] | None, typer.Option(help="only this way, beside the published; may be repeated")] = None,
    model: str = "bundled",
) -> None:
    """Time the ways."""
    out.mkdir(parents=True, exist_ok=True)
    editor = Editor(load_backbone(model))
    ways = make_ways(editor, steps)
    if unknown := sorted(set(way or ()) - set(ways)):
        raise typer.BadParameter(f"expected ways among {', '.join(ways)}, got {', '.join(unknown)}")
    ways = {name: one for name, one in ways.items() if not way or name in (REFERENCE, *way)}
    chosen, judge = choose(photos, edits, number), judge_with(editor)
    timings: list[Timing] = []
    warm_up(editor, chosen[0])
    for edit in tqdm(chosen, desc="speed", unit="photo", disable=None):
        for name, one in ways.items():
            timings += time_edit(edit, name, one, editor, judge)
        timings += time_eight(edit, editor)
        timings += time_inversions(edit, editor)
        write_csv(timings, out / "speed.csv")
    for megapixels in (12, 50):
        timings += time_large(megapixels)
    timings += time_processes(chosen[0])
    text = report(timings, list(ways), editor.backbone.device, steps)
    write_csv(timings, out / "speed.csv")
    (out / "speed.md").write_text(text + "\n", encoding="utf-8")
    draw(timings, list(ways), out / "speed.png")
    print(text)


def warm_up(editor: Editor, edit: Edit) -> None:
    """What happens once in a process happens here."""
    way: Any = OurWay(editor, {"steps": 2})
    way.edit(way.invert(open_photo(edit.photo), edit.caption), [edit.new_caption])


if __name__ == "__main__":
    run_command(main)
