"""Memory of one edit, counted with neither weights nor photo in memory; and its time, measured.

    python -m benchmarks.footprint

prints the tables of docs/memory.md: what each model consists of, and the most that tensors hold at once while a photo
is encoded, inverted, tuned, edited and decoded, for the bundled model and for others at full size; and the same of the
published way, for those that it is for. The product's own code runs, on torch's meta device. What an allocator keeps
back and what a convolution needs beside its result is not counted.

    python -m benchmarks.footprint --seconds "Stable Diffusion 1.5"

measures a few steps of an edit on this machine, with random weights where the model is not bundled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import nn

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from backbones.photo import open_photo
from backbones.view import look_at
from benchmarks import baseline
from benchmarks.baseline import Plain
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
PUBLISHED = (BUNDLED, "Stable Diffusion 1.5")
"""Models that the published way is compared on."""
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
    return count(backbone.networks, partial(run_edit, backbone, steps))


def published_footprint(name: str, steps: int = STEPS) -> Footprint:
    """Counts null-text inversion and prompt-to-prompt as `baseline` has them, in float32."""
    backbone = make(name, torch.float32, META)
    plain = Plain(backbone, steps)
    networks = [plain.unet if network is backbone.denoiser else network for network in backbone.networks]
    return count(networks, partial(run_published, plain))


Phase = Callable[[str], AbstractContextManager[None]]
Run = Callable[[Phase], None]
"""Does each part of an edit within `phase(name)`."""


def count(networks: Iterable[nn.Module], run: Run) -> Footprint:
    """Counts what a run holds beside the weights of its networks, all of them on the meta device."""
    weights = [weight for network in networks for weight in (*network.parameters(), *network.buffers())]
    phases: dict[str, float] = {}
    with live_tensors(apart=weights) as live:

        @contextmanager
        def counted(phase: str) -> Any:
            with live.peak() as peak:
                yield
            phases[phase] = peak.bytes / MIB

        run(counted)
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


def run_edit(backbone: Backbone, steps: int, phase: Phase) -> None:
    """An edit of a photo of the model's own size, each part within `phase(name)`."""
    side = backbone.image_size
    photo = open_photo(np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8))
    plans = [plan_edit(backbone, CAPTION, NEW_CAPTION, photo.size, EditSettings(), range(steps))]
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


def run_published(plain: Plain, phase: Phase) -> None:
    """The published way from the photo's latents to the edit's, each part within `phase(name)`."""
    backbone = plain.backbone
    side = backbone.image_size // backbone.vae_factor
    latents = torch.zeros(1, backbone.latent_channels, side, side, device=backbone.device)
    plan = plan_edit(backbone, CAPTION, NEW_CAPTION, (backbone.image_size,) * 2, EditSettings(), range(plain.steps))
    with phase("invert"):
        pivots = baseline.invert(plain, latents, CAPTION)
    with phase("null-text"):
        uncond = baseline.null_text(plain, pivots, CAPTION)
    with phase("edit"):
        baseline.edit(plain, pivots[:1], uncond, plan.alignment)


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


Counted = Mapping[tuple[str, torch.dtype], Footprint]
"""By model and number format."""


def memory_table(counted: Counted) -> str:
    """A row for each."""
    rows = []
    for (name, dtype), found in counted.items():
        held = {f"{phase} (MiB)": f"+{mib:.0f}" for phase, mib in found.phases.items()}
        row = {"model": name, "format": str(dtype).removeprefix("torch."), "weights (MiB)": f"{found.weights:.0f}"}
        rows.append({**row, **held, "one edit (GiB)": found.edit / 1024})
    return markdown(rows)


def published_table(counted: Counted) -> str:
    """One edit by the published way, in float32, and by ours in both number formats."""
    rows = []
    for name in PUBLISHED:
        published = published_footprint(name).edit
        for dtype in DTYPES:
            ours = counted[name, dtype].edit
            rows.append(
                {
                    "model": name,
                    "ours in": str(dtype).removeprefix("torch."),
                    "published, float32 (GiB)": published / 1024,
                    "ours (GiB)": ours / 1024,
                    "ours / published": ours / published,
                }
            )
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
        counted = {(name, dtype): footprint(name, dtype) for name in (BUNDLED, *SIZES) for dtype in DTYPES}
        print(model_table(), memory_table(counted), published_table(counted), sep="\n\n")
        return
    if seconds != BUNDLED and seconds not in SIZES:
        raise EditRealError(f"expected a model among {', '.join((BUNDLED, *SIZES))}, got {seconds!r}")
    print(time_table(seconds, getattr(torch, dtype), device, steps))


if __name__ == "__main__":
    run_command(main)
