r"""How long an edit takes: the published code and ours, with the same weights in one process, turn about.

    python -m benchmarks.speed --photos flower-photos-144.zip --photos clothes-photos-192.zip --out out/speed

writes `speed.md` (the tables), `speed.csv` (every timing) and `speed.png`. Every photo is a repeat: each way inverts
and edits it, then edits it again, before the next photo is taken. What is printed are medians with the least and the
most, and ratios of a photo's own timings. A timing whose threads had to wait for a core is dropped, and counted. Memory
is measured apart, each way in a process of its own: the peak of an inversion and an edit above what the process held
once everything was imported, weights included. Nothing else should run on the machine; ratios carry over to others,
seconds do not.

    python -m benchmarks.speed ... --architecture "Stable Diffusion 1.5" --steps 2 --number 1

times the same ways at the same few steps on a model of full size with seeded random weights, where quality means
nothing. SDXL has no published way here, since the published code has none.
"""

from __future__ import annotations

import csv
import datetime
import multiprocessing
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
from torch import nn
from tqdm import tqdm

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import default_dtype, find_device, load_backbone
from backbones.photo import open_photo
from benchmarks.edits import LIST, Edit, read_edits
from benchmarks.full_size import SIZES, build
from benchmarks.judge import autoencoded
from benchmarks.measures import background, color_share
from benchmarks.memory import peak_memory
from benchmarks.stopwatch import Watch, resident, watched
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


WAYS: dict[str, Callable[[Editor, int], Way]] = {
    REFERENCE: PublishedWay,
    "published, frozen weights": lambda editor, steps: PublishedWay(editor, steps, frozen=True),
    "ours": lambda editor, steps: OurWay(editor),
    "ours, as many steps": lambda editor, steps: OurWay(editor, {"steps": steps}),
    "ours, as many steps, direct": lambda editor, steps: OurWay(editor, {"steps": steps, "inversion": "direct"}),
    "ours, direct": lambda editor, steps: OurWay(editor, {"inversion": "direct"}),
    "ours, null-text one after another": lambda editor, steps: OurWay(editor, {"null_text_block": 1}),
}
"""By name; `steps` are the published ones."""

AT_FULL_SIZE = (REFERENCE, "published, frozen weights", "ours, as many steps", "ours, as many steps, direct")
"""Those of few steps, which is what a model of full size has time for."""


def ways_for(backbone: Backbone, asked: Sequence[str], *, full_size: bool) -> list[str]:
    """The names of the ways to time: those that were asked for beside the published one, or all that there are.

    Raises:
        EditRealError: A way that there is not.
    """
    there = [name for name in (AT_FULL_SIZE if full_size else WAYS) if is_ours(name) or len(backbone.tokenizers) == 1]
    if unknown := sorted(set(asked) - set(there)):
        raise EditRealError(f"expected ways among {', '.join(there)}, got {', '.join(unknown)}")
    return [name for name in there if not asked or name in (REFERENCE, *asked)]


def is_ours(name: str) -> bool:
    return name.startswith("ours")


def make_backbone(model: str, architecture: str | None) -> Backbone:
    """The model, or one of that architecture with seeded random weights."""
    if architecture is None:
        return load_backbone(model)
    if architecture not in SIZES:
        raise EditRealError(f"expected an architecture among {', '.join(SIZES)}, got {architecture!r}")
    device = find_device(None)
    return build(architecture, default_dtype(device), device)


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


def time_memory(edit: Edit, name: str, steps: int, model: str, architecture: str | None) -> Timing:
    """The most that a process holds above its imports while a way inverts and edits one photo."""
    asked = (name, steps, model, architecture, edit.photo, edit.caption, edit.new_caption)
    with multiprocessing.get_context("spawn").Pool(1) as alone:
        mib = alone.apply(_peak, asked)
    return Timing(edit.name, name, "memory", Watch(mib=mib), {})


def _peak(
    name: str, steps: int, model: str, architecture: str | None, photo: np.ndarray, caption: str, new_caption: str
) -> float:
    import backbones.families  # noqa: F401, what is imported with the first model is no way's own

    before = resident()
    editor = Editor(make_backbone(model, architecture))
    way = WAYS[name](editor, steps)
    if not is_ours(name):
        nn.Module.to(editor.backbone.denoiser, "meta")  # the published way has a copy of its own
    with peak_memory(editor.backbone.device) as peak:
        way.edit(way.invert(open_photo(photo), caption), [new_caption])
    return peak.mib - (0 if editor.backbone.device.type == "cuda" else before)


def time_eight(edit: Edit, editor: Editor) -> Iterator[Timing]:
    """Eight captions of one inverted photo, in one call and one by one."""
    way, photo, device = OurWay(editor), open_photo(edit.photo), editor.backbone.device
    captions = [edit.new_caption.replace(str(edit.asked_color), color) for color in EIGHT]
    inverted = way.invert(photo, edit.caption)
    way.edit(inverted, [edit.new_caption])  # so that all that are timed are later edits
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
        ceiling = autoencoded(editor.backbone, open_photo(edit.photo), drawn.geometry)
        size = ceiling.shape[1::-1]
        region = (
            cv2.resize(drawn.geometry.crop(edit.region).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
        )
        return {
            "colour": color_share(drawn.image, region, str(edit.asked_color)),
            "background": background(drawn.image, ceiling, ~region)["psnr"],
            "iou": iou(drawn.mask, region),
        }

    return judge


def judge_nothing(edit: Edit, drawn: Drawn) -> Mapping[str, float]:
    """What random weights draw is worth nothing."""
    return dict.fromkeys(FIGURES, float("nan"))


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
        held = [one.watch.mib for one in by[way, "memory"].values()]
        rows.append(
            {
                "": way,
                "inversion s": spread([one.watch.seconds for one in by[way, "inversion"].values()]),
                "first edit s": spread([one.watch.seconds for one in first.values()]),
                f"{REFERENCE} / this": spread(ratios),
                "second edit s": spread([one.watch.seconds for one in by[way, "second edit"].values()]),
                "rows: plain / with gradient / backward": " / ".join(map(str, counted.values())),
                "second / first": spread(
                    [
                        one.watch.seconds / first[photo].watch.seconds
                        for photo, one in by[way, "second edit"].items()
                        if photo in first
                    ]
                ),
                "peak MiB": f"{median(held):.0f}" if held else "not measured",
                **{name: sum(one[name] for one in worth) / len(worth) for name in FIGURES if worth},
            }
        )
    return markdown(rows)


def plain_table(timings: Sequence[Timing], what: Sequence[str]) -> str:
    """Median seconds of everything else, and what its memory rose by within this process."""
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
                "rose by MiB": f"{median(watch.mib for watch in watches):.0f}" if watches else "dropped",
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
    """`number` of the list's changes of colour, evenly spread, each of a photo of its own.

    Raises:
        EditRealError: There is none of these photos.
    """
    found = {edit.source: edit for edit in read_edits(list(photos), edits) if edit.kind in KINDS}
    if not found:
        raise EditRealError(
            f"expected photos with a {' or '.join(KINDS)} in the list, got none; give the archive of flowers or clothes"
        )
    several = list(found.values())
    return [several[int(place)] for place in np.linspace(0, len(several) - 1, min(number, len(several)))]


def report(timings: Sequence[Timing], ways: Sequence[str], device: torch.device, steps: int) -> str:
    dropped = sum(not one.watch.alone for one in timings)
    photos = len({one.photo for one in timings if one.photo})
    return "\n\n".join(
        [
            f"{machine(device)}. {photos} photos, the published way with {steps} steps. {dropped} of {len(timings)} "
            "timings were dropped because their threads had to wait for a core.",
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
    architecture: Annotated[
        str | None, typer.Option(help=f"random weights instead of the model: {', '.join(SIZES)}")
    ] = None,
    memory: Annotated[bool, typer.Option(help="measure memory, each way in a process of its own")] = True,
) -> None:
    """Time the ways."""
    out.mkdir(parents=True, exist_ok=True)
    full_size = architecture is not None
    chosen, timings = choose(photos, edits, number), list[Timing]()
    editor = Editor(make_backbone(model, architecture))
    names = ways_for(editor.backbone, way or (), full_size=full_size)
    ways = {name: WAYS[name](editor, steps) for name in names}
    judge = judge_nothing if full_size else judge_with(editor)
    if not full_size:
        warm_up(editor, chosen[0])
    for edit in tqdm(chosen, desc="speed", unit="photo", disable=None):
        for name, one in ways.items():
            timings += time_edit(edit, name, one, editor, judge)
        if not full_size:
            timings += time_eight(edit, editor)
            timings += time_inversions(edit, editor)
        write_csv(timings, out / "speed.csv")
    if memory:
        timings += [time_memory(chosen[0], name, steps, model, architecture) for name in ways]
    if not full_size:
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
