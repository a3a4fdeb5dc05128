"""Memory of one edit, counted with neither weights nor photo in memory; and its time, measured.

    python -m benchmarks.footprint

prints the tables of docs/memory.md: what each model consists of, and the most that tensors hold at once while a photo
is encoded, inverted, tuned, edited and decoded, for the bundled model and for others at full size. The product's own
code runs, on torch's meta device. What an allocator keeps back and what a convolution needs beside its result is not
counted.

    python -m benchmarks.footprint --seconds "Stable Diffusion 1.5"

measures a few steps of an edit on this machine, with random weights where the model is not bundled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import typer

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from backbones.photo import open_photo
from backbones.view import look_at
from benchmarks.full_size import SIZES, build
from benchmarks.meta import META, live_tensors
from editing.finish import finish
from editing.plan import plan_edit
from editing.sample import sample_edits
from editing.settings import EditSettings
from editing.source import look_at_source
from inversion.invert import invert
from inversion.settings import InversionSettings
from masks.record import map_sites
from workshop.command import run_command
from workshop.tables import markdown

BUNDLED = "bundled"
CAPTION, NEW_CAPTION = "a photo of a red rose", "a photo of a white rose"
DTYPES = (torch.bfloat16, torch.float32)
KINDS = ("cross", "self", "joint", "residual")
STEPS = 2  # are enough, since nothing grows from step to step where nothing is kept of the source
MIB = 2**20


@dataclass(frozen=True)
class Footprint:
    """Memory of one edit in MiB.

    Attributes:
        weights: Of the networks.
        phases: The most that tensors hold beside the weights, by what is done.
    """

    weights: float
    phases: dict[str, float]

    @property
    def edit(self) -> float:
        """The peak of all of it, weights included."""
        return self.weights + max(self.phases.values())


def make(name: str, dtype: torch.dtype, device: torch.device | str) -> Backbone:
    """The bundled model, or one of `SIZES`."""
    return load_backbone(BUNDLED, device, dtype) if name == BUNDLED else build(name, dtype, device)


def footprint(name: str, dtype: torch.dtype, steps: int = STEPS) -> Footprint:
    """Counts an edit."""
    backbone = make(name, dtype, META)
    weights = [weight for network in backbone.networks for weight in (*network.parameters(), *network.buffers())]
    phases: dict[str, float] = {}
    with live_tensors(apart=weights) as live:

        @contextmanager
        def counted(phase: str) -> Any:
            with live.peak() as peak:
                yield
            phases[phase] = peak.bytes / MIB

        run_edit(backbone, steps, counted)
    return Footprint(sum(weight.nbytes for weight in weights) / MIB, phases)


def seconds(name: str, dtype: torch.dtype, device: str, steps: int) -> dict[str, float]:
    """Measures the phases of one edit."""
    backbone = make(name, dtype, device)
    phases: dict[str, float] = {}

    @contextmanager
    def timed(phase: str) -> Any:
        start = time.perf_counter()
        yield
        phases[phase] = time.perf_counter() - start

    run_edit(backbone, steps, timed)
    return phases


def run_edit(backbone: Backbone, steps: int, phase: Callable[[str], AbstractContextManager[None]]) -> None:
    """An edit of a photo of the model's own size, each part within `phase(name)`."""
    side = backbone.image_size
    photo = open_photo(np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8))
    plans = [plan_edit(backbone, CAPTION, NEW_CAPTION, photo.size, EditSettings(), steps)]
    with phase("encode"):
        view = look_at(backbone, photo)
    with phase("invert"):
        trajectory = invert(backbone, view, CAPTION, InversionSettings(inversion="direct", steps=steps))
    with phase("null-text"):
        invert(backbone, view, CAPTION, InversionSettings(max_inner_steps=1, null_text_every=1, steps=steps))
    with phase("edit"):
        source = look_at_source(backbone, trajectory, plans, limit=0)
        sampled = sample_edits(backbone, trajectory, view, plans, source.maps, source_rows=source.rows)
    with phase("decode"):
        finish(backbone, trajectory, view, plans, source, sampled)


def model_table() -> str:
    """What each model consists of: parameters, and the layers that a control can take part in."""
    rows = []
    for name in (BUNDLED, *SIZES):
        backbone = make(name, DTYPES[0], META)
        side = backbone.image_size // backbone.vae_factor
        sites = backbone.sites(side, side)
        parts = {"denoiser": [backbone.denoiser], "text": backbone.text_encoders, "autoencoder": [backbone.vae]}
        counted = {f"{part} (M)": f"{sum(map(_millions, networks)):.0f}" for part, networks in parts.items()}
        kinds = {kind: sum(site.kind == kind for site in sites) for kind in KINDS}
        maps = map_sites(sites)
        grid = f"{maps[0].height}x{maps[0].width}, {len(maps)} layers"
        rows.append({"model": name, "side": backbone.image_size, **counted, **kinds, "words' maps": grid})
    return markdown(rows)


def _millions(network: Any) -> float:
    return 0.0 if network is None else sum(weight.numel() for weight in network.parameters()) / 1e6


def memory_table() -> str:
    """Every model in both number formats."""
    rows = []
    for name in (BUNDLED, *SIZES):
        for dtype in DTYPES:
            found = footprint(name, dtype)
            held = {f"{phase} (MiB)": f"+{mib:.0f}" for phase, mib in found.phases.items()}
            row = {"model": name, "format": str(dtype).removeprefix("torch."), "weights (MiB)": f"{found.weights:.0f}"}
            rows.append({**row, **held, "one edit (GiB)": found.edit / 1024})
    return markdown(rows)


def time_table(name: str, dtype: torch.dtype, device: str, steps: int) -> str:
    """One line of measured seconds, and what they come to at 50 steps."""
    found = seconds(name, dtype, device, steps)
    row: dict[str, object] = {"model": name, "format": str(dtype).removeprefix("torch."), "steps": steps}
    return markdown([{**row, **{f"{phase} (s)": taken for phase, taken in found.items()}}])


def main(
    seconds: Annotated[str | None, typer.Option(help=f"measure the time of {BUNDLED} or {', '.join(SIZES)}")] = None,
    dtype: Annotated[str, typer.Option(help="of what is measured")] = "float32",
    device: str = "cpu",
    steps: int = STEPS,
) -> None:
    """Print the tables of parts and memory, or a line of times."""
    if seconds is None:
        print(model_table(), memory_table(), sep="\n\n")
        return
    if seconds != BUNDLED and seconds not in SIZES:
        raise EditRealError(f"expected a model among {', '.join((BUNDLED, *SIZES))}, got {seconds!r}")
    print(time_table(seconds, getattr(torch, dtype), device, steps))


if __name__ == "__main__":
    run_command(main)
