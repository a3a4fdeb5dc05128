r"""What null-text optimisation costs and what it reaches: the published code, and ours, along the same pivots.

    python -m benchmarks.null_text --photos flower-photos-144.zip --number 5 --out out/null-text

writes `null_text.md` and `null_text.csv`. Each photo is inverted by DDIM once, and then every way tunes embeddings for
the same guidance. A loss is Mokady et al.'s (CVPR 2023, equation 3), mean squared error in latents, and is taken of
every way alike once it is done: of each guided step from its own pivot (`from pivots`), and of each step along the path
that guided sampling goes with the embeddings (`along path`), as the published one tunes them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from tqdm import tqdm

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from backbones.memory import ROWS_AT_ONCE
from backbones.photo import open_photo
from backbones.view import look_at
from benchmarks import baseline
from benchmarks.baseline import Plain, Published
from benchmarks.edits import LIST, Edit
from benchmarks.speed import choose, machine, spread
from benchmarks.stopwatch import Watch, watched
from inversion.ddim import ddim_invert
from inversion.guidance import guide
from inversion.invert import settle
from inversion.null_text_blocks import landing, optimize_in_blocks
from inversion.null_text_path import optimize_null_text
from inversion.null_text_search import optimize_by_search
from inversion.schedule import Schedule
from inversion.settings import InversionSettings
from inversion.steps import ddim_step
from workshop.command import run_command
from workshop.tables import markdown

DEFAULTS = InversionSettings()
UPDATES = 10  # as published
AT_ONCE = 10  # timesteps of a block, where each is tuned


@dataclass(frozen=True, eq=False)
class Problem:
    """One photo's pivots, and what they are to be met with."""

    photo: str
    plain: Plain
    pivots: torch.Tensor
    caption: str

    @property
    def backbone(self) -> Backbone:
        return self.plain.backbone

    @property
    def schedule(self) -> Schedule:
        return self.plain.schedule

    @property
    def arguments(self) -> tuple[Backbone, Schedule, torch.Tensor, Condition, Condition, float]:
        """Of our optimisations."""
        condition, start = (self.backbone.condition([text]) for text in (self.caption, ""))
        return self.backbone, self.schedule, self.pivots, condition, start, self.plain.settings.guidance_scale


Tune = Callable[[Problem], torch.Tensor]
"""Gives embeddings, `(steps, K, D)`."""


def in_blocks(problem: Problem, *, updates: int, block: int, every: int) -> torch.Tensor:
    tuned = optimize_in_blocks(*problem.arguments, max_inner_steps=updates, block=block, every=every)
    return tuned.uncond.embeds


def one_by_one(problem: Problem, *, updates: int) -> torch.Tensor:
    return optimize_null_text(*problem.arguments, max_inner_steps=updates).uncond.embeds


def by_search(problem: Problem, *, updates: int) -> torch.Tensor:
    return optimize_by_search(*problem.arguments, max_inner_steps=updates).uncond.embeds


def as_published(problem: Problem) -> torch.Tensor:
    return baseline.null_text(problem.plain, problem.pivots, problem.caption)


def untuned(problem: Problem) -> torch.Tensor:
    return problem.backbone.condition([""]).embeds.expand(problem.schedule.steps, -1, -1)


WAYS: Mapping[str, Tune] = {
    "published": as_published,
    "one after another": partial(one_by_one, updates=UPDATES),
    "searched": partial(by_search, updates=DEFAULTS.max_inner_steps),
    "each, in blocks": partial(in_blocks, updates=UPDATES, block=AT_ONCE, every=1),
    "the default": partial(
        in_blocks,
        updates=DEFAULTS.max_inner_steps,
        block=DEFAULTS.null_text_block,
        every=DEFAULTS.null_text_every,
    ),
    "the empty caption, untuned": untuned,
}


@dataclass(frozen=True, eq=False)
class Found:
    """What a way took for one photo and what it reached."""

    photo: str
    way: str
    watch: Watch
    from_pivots: float
    along_path: float


def pose(plain: Plain, edit: Edit) -> Problem:
    """Inverts a photo."""
    backbone = plain.backbone
    view = look_at(backbone, open_photo(edit.photo), None)
    pivots = ddim_invert(backbone, plain.schedule, view.latents, backbone.condition([edit.caption]))
    return Problem(edit.name, plain, pivots, edit.caption)


def solve(problem: Problem, name: str) -> Found:
    """Tunes by one way, and takes the losses of what it found."""
    with watched(problem.backbone.device, (problem.plain.unet, problem.backbone.denoiser)) as watch:
        embeds = WAYS[name](problem)
    return Found(problem.photo, name, watch, loss_from_pivots(problem, embeds), loss_along_path(problem, embeds))


@torch.no_grad()
def loss_from_pivots(problem: Problem, embeds: torch.Tensor) -> float:
    """Mean squared error of all guided steps, each from its own pivot."""
    land = landing(*problem.arguments, range(problem.schedule.steps))
    rows = torch.arange(problem.schedule.steps, device=embeds.device)
    landed = torch.cat([land(embeds[some], some) for some in rows.split(ROWS_AT_ONCE)])
    return float((landed - problem.pivots[1:]).square().mean())


@torch.no_grad()
def loss_along_path(problem: Problem, embeds: torch.Tensor) -> float:
    """Mean squared error of all guided steps, one after another from the photo's noise."""
    backbone, schedule, pivots, condition, start, scale = problem.arguments
    latents, errors = pivots[:1], []
    for i, timestep in enumerate(schedule.timesteps):
        uncond = backbone.predict(latents, timestep, start.with_embeds(embeds[i : i + 1]))
        guided = guide(uncond, backbone.predict(latents, timestep, condition), scale)
        latents = ddim_step(guided, schedule.levels[i + 1])
        errors.append((latents - pivots[i + 1]).square().mean())
    return float(torch.stack(errors).mean())


def table(found: Sequence[Found]) -> str:
    """A row a way, medians over the photos."""
    rows = []
    for name in WAYS:
        some = [one for one in found if one.way == name]
        seconds = [one.watch.seconds for one in some if one.watch.alone]
        rows.append(
            {
                "": name,
                "s": spread(seconds),
                "rows: plain / with gradient / backward": " / ".join(
                    f"{median(one.watch.rows[what] for one in some):.0f}" for what in some[0].watch.rows
                ),
                "loss from pivots (1e-4)": spread([1e4 * one.from_pivots for one in some]),
                "loss along path (1e-4)": spread([1e4 * one.along_path for one in some]),
            }
        )
    return markdown(rows)


def write_csv(found: Sequence[Found], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["photo", "way", "seconds", "waited", "plain", "graded", "backward", "from_pivots", "along_path"]
        )
        for one in found:
            watch = one.watch
            figures = [watch.seconds, watch.waited, *watch.rows.values(), one.from_pivots, one.along_path]
            writer.writerow([one.photo, one.way, *figures])


def main(
    photos: Annotated[list[Path], typer.Option(help="the photo archives")],
    out: Annotated[Path, typer.Option(help="the folder to write")],
    edits: Annotated[Path, typer.Option(help="the list of edits whose photos are taken")] = LIST,
    number: Annotated[int, typer.Option(min=1, help="photos")] = 5,
    steps: Annotated[int, typer.Option(min=2)] = 50,
    guidance: Annotated[float | None, typer.Option(help="that is tuned for; the model's own by default")] = None,
    model: str = "bundled",
) -> None:
    """Tune embeddings in every way."""
    out.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone(model)
    if len(backbone.tokenizers) != 1 or backbone.levels.prediction_type != "epsilon":
        raise EditRealError(
            "expected a model of Stable Diffusion that predicts epsilon, which the published code is for, got another; "
            "take 'bundled'"
        )
    scale = settle(backbone, InversionSettings(guidance_scale=guidance)).guidance_scale
    assert scale is not None
    plain = Plain(backbone, steps, settings=Published(guidance_scale=scale))
    chosen, found = choose(photos, edits, number), list[Found]()
    for edit in tqdm(chosen, desc="null-text", unit="photo", disable=None):
        problem = pose(plain, edit)
        found += [solve(problem, name) for name in WAYS]
        write_csv(found, out / "null_text.csv")
    text = f"{machine(backbone.device)}. {len(chosen)} photos, {steps} steps, guidance {scale:g}."
    text = f"{text}\n\n{table(found)}"
    (out / "null_text.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    run_command(main)
