"""Records what a model attends to, at the layers whose maps separate objects best."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import torch

from backbones.attention import Control, Site, attention, controlled, mean_probs
from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.levels import Prediction
from masks.aggregate import AttentionMaps

MAP_SHARE = 0.25  # of the latents' side: 16x16 at 512 pixels, which Hertz et al. 2023 found best (section 4)
LEAST_MAP_SIDE = 16  # coarser maps hold no shapes, so a model of small latents is looked at more closely
BATCH = 8  # noise levels that are looked at together,
MAPS_AT_ONCE = 2**25  # or fewer, where their attention of pixels to pixels would have more numbers than this


def map_sites(sites: Sequence[Site]) -> list[Site]:
    """The layers of attention whose maps say where words are: of one size, a quarter of the latents' side or near it.

    Raises:
        ValueError: No layer among `sites` attends to words.
    """
    cross = [site for site in sites if site.kind in ("cross", "joint")]
    if not cross:
        raise ValueError("expected a model with cross-attention, got none; words have no place in it")

    def distance(site: Site) -> float:
        return abs(site.side - max(LEAST_MAP_SIDE, MAP_SHARE * site.side / site.share))

    nearest = min(cross, key=distance)
    grid = (nearest.height, nearest.width)
    return [site for site in sites if site.kind != "residual" and (site.height, site.width) == grid]


class Recorder(Control):
    """A control that sums up attention and leaves it as it is, or as the control inside it wants it.

    What it records is what the model itself attends to, not what the inner control makes of that.
    """

    def __init__(self, sites: Sequence[Site], rows: slice = slice(None), inside: Control | None = None) -> None:
        """Records some rows of the batch at `sites`, which are of one size, such as `map_sites` gives."""
        self._recorded, self._rows, self._inside = list(sites), rows, inside
        self._sums: dict[str, torch.Tensor] = {}
        self._counts = {"cross": 0, "self": 0}

    def sites(self, step: int) -> Collection[Site]:
        inside = self._inside.sites(step) if self._inside else ()
        return {*self._recorded, *inside}

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        if site in self._recorded:
            self._record(site, mean_probs(query[self._rows], key[self._rows]))
        if self._inside and site in self._inside.sites(step):
            return self._inside.attend(site, query, key, value, step)
        return attention(query, key, value)

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        return self._inside.features(site, hidden, step) if self._inside else hidden

    def _record(self, site: Site, probs: torch.Tensor) -> None:
        if site.kind != "joint":
            self._add(site.kind, probs)
            return
        words, pixels = probs[..., : -site.cells], probs[..., -site.cells :]
        self._add("cross", words)
        self._add("self", pixels / pixels.sum(-1, keepdim=True))  # carries heat along and keeps its amount

    def _add(self, kind: str, probs: torch.Tensor) -> None:
        self._sums[kind] = self._sums[kind] + probs if kind in self._sums else probs
        self._counts[kind] += 1

    def maps(self, row: int) -> AttentionMaps:
        """What has been recorded so far of one of the rows, its mean as a single noise level."""
        cross, pixels = self.means(slice(row, row + 1))
        first = self._recorded[0]
        return AttentionMaps(cross, pixels[0], first.height, first.width)

    def means(self, rows: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean attention so far of some of the rows: pixels to tokens `(B, Q, K)`, pixels to pixels `(B, Q, Q)`."""
        if len(self._sums) < 2:
            raise RuntimeError("nothing has been recorded yet")
        cross, pixels = (self._sums[kind][rows] / self._counts[kind] for kind in ("cross", "self"))
        return cross, pixels


class Looked(NamedTuple):
    """What a model sees in latents of some noise levels, and what it attends to there.

    Attributes:
        cross: `(S, Q, K)`, see `AttentionMaps`.
        pixels: `(S, Q, Q)`.
        prediction: Of `S` rows.
    """

    cross: torch.Tensor
    pixels: torch.Tensor
    prediction: Prediction

    def only(self, rows: list[int]) -> Looked:
        """Some of the levels."""
        return Looked(self.cross[rows], self.pixels[rows], Prediction(*(part[rows] for part in self.prediction)))


def levels_at_once(levels: int, sites: Sequence[Site]) -> list[list[int]]:
    """The indices of noise levels, in batches of as many as are looked at together."""
    at_once = max(1, min(BATCH, MAPS_AT_ONCE // map_sites(sites)[0].cells ** 2))
    return [list(range(first, min(first + at_once, levels))) for first in range(0, levels, at_once)]


@torch.no_grad()
def look_at_levels(
    backbone: Backbone,
    latents: torch.Tensor,
    timesteps: Sequence[int],
    condition: Condition,
    inside: Control | None = None,
) -> Looked:
    """A caption asked of known latents, at several noise levels in one batch.

    Args:
        backbone: The model.
        latents: `(S, C, h, w)`, one noise level each.
        timesteps: Of these levels.
        condition: The caption's, one row.
        inside: A control that takes part as well, at its step 0.
    """
    recorder = Recorder(map_sites(backbone.sites(*latents.shape[-2:])), inside=inside)
    with controlled(backbone, recorder, step=0):
        at = torch.tensor(timesteps, device=backbone.device)
        prediction = backbone.predict(latents, at, condition.expand(len(latents)))
    return Looked(*recorder.means(), prediction)


def record_maps(
    backbone: Backbone, latents: torch.Tensor, timesteps: Sequence[int], condition: Condition
) -> AttentionMaps:
    """The attention of a caption over known latents; arguments are those of `look_at_levels`, from noise to image."""
    sites = backbone.sites(*latents.shape[-2:])
    batches = levels_at_once(len(latents), sites)
    return join_maps(
        (look_at_levels(backbone, latents[some], [timesteps[i] for i in some], condition) for some in batches), sites
    )


def join_maps(looked: Iterable[Looked], sites: Sequence[Site]) -> AttentionMaps:
    """The maps of all noise levels that were looked at, in order."""
    cross, pixels, first = [], torch.zeros(()), map_sites(sites)[0]
    for one in looked:
        cross.append(one.cross)
        pixels = pixels.to(one.pixels) + one.pixels.sum(0)
    of_tokens = torch.cat(cross)
    return AttentionMaps(of_tokens, pixels / len(of_tokens), first.height, first.width)
