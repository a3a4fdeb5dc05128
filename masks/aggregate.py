"""Recorded attention and a word's tokens -> a heat map of where the model sees the word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from backbones.attention import AttentionSite, attention_sites, controlled_attention
from backbones.backbone import Backbone

MAP_SIDE = 16  # maps of about this side separate objects best (Hertz et al. 2023, section 4)
BATCH = 8


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Attention of one caption over one image, mean over heads and layers.

    Attributes:
        cross: Share of each pixel's attention that goes to each token, `(S, Q, K)` in [0, 1], for `S` steps from
            noise to image and `Q = height * width` pixels row by row.
        pixels: Share of each pixel's attention that goes to each other pixel, mean over the steps, `(Q, Q)`.
        height: Rows of the maps.
        width: Columns of the maps.
    """

    cross: torch.Tensor
    pixels: torch.Tensor
    height: int
    width: int


class AttentionRecorder:
    """Gathers the probabilities of the layers whose maps are nearest to `side` x `side`, by step.

    It looks at what the model itself attends to: call it before a control changes the probabilities.
    """

    def __init__(self, sites: Sequence[AttentionSite], side: int = MAP_SIDE) -> None:
        cross = [site for site in sites if site.kind == "cross"]
        nearest = min(cross, key=lambda site: abs((site.height * site.width) ** 0.5 - side))
        self.height, self.width = nearest.height, nearest.width
        self.sites = [site for site in sites if (site.height, site.width) == (nearest.height, nearest.width)]
        self._layers = {kind: sum(site.kind == kind for site in self.sites) for kind in ("cross", "self")}
        self._cross: dict[int, torch.Tensor] = {}
        self._pixels: torch.Tensor | None = None
        self._pixel_steps: set[int] = set()

    def record(self, probs: torch.Tensor, site: AttentionSite, step: int) -> None:
        """Adds one layer's probabilities `(B, heads, Q, K)` of one step; other resolutions are ignored."""
        if site not in self.sites:
            return
        mean = probs.mean(1) / self._layers[site.kind]
        if site.kind == "cross":
            self._cross[step] = self._cross[step] + mean if step in self._cross else mean
        else:
            self._pixels = mean if self._pixels is None else self._pixels + mean
            self._pixel_steps.add(step)

    def maps(self, row: int) -> AttentionMaps:
        """What has been recorded so far of one row of the batch."""
        if self._pixels is None or not self._cross:
            raise RuntimeError("nothing has been recorded yet")
        cross = torch.stack([self._cross[step][row] for step in sorted(self._cross)])
        return AttentionMaps(cross, self._pixels[row] / len(self._pixel_steps), self.height, self.width)


@torch.no_grad()
def record_maps(
    backbone: Backbone, latents: torch.Tensor, timesteps: Sequence[int], prompt_embeds: torch.Tensor
) -> AttentionMaps:
    """The attention of a caption over known latents, at several noise levels at once.

    Args:
        backbone: The model.
        latents: `(S, C, h, w)`, one noise level each, from noise to image.
        timesteps: Theirs.
        prompt_embeds: The caption's, `(1, K, D)`.
    """
    sites = attention_sites(backbone.unet, *latents.shape[-2:])
    parts = []
    for steps in torch.arange(len(latents)).split(BATCH):
        recorder = AttentionRecorder(sites)

        def record(probs: torch.Tensor, site: AttentionSite, recorder: AttentionRecorder) -> torch.Tensor:
            recorder.record(probs, site, step=0)
            return probs

        with controlled_attention(backbone.unet, recorder.sites, partial(record, recorder=recorder)):
            embeds = prompt_embeds.expand(len(steps), -1, -1)
            backbone.noise_pred(latents[steps], torch.tensor([timesteps[i] for i in steps]), embeds)
        parts += [recorder.maps(row) for row in range(len(steps))]
    cross = torch.cat([part.cross for part in parts])
    pixels = torch.stack([part.pixels for part in parts]).mean(0)
    return AttentionMaps(cross, pixels, parts[0].height, parts[0].width)


def word_heat(
    maps: AttentionMaps, positions: Sequence[int], *, step: int | None = None, spread: int = 0
) -> torch.Tensor:
    """Where the model sees the tokens at `positions`, `(height, width)`, not normalised.

    Args:
        maps: From `record_maps` or a recorder.
        positions: Token positions; their attention is added up.
        step: One of the recorded steps; None is their mean.
        spread: How many times the heat is carried along the pixels' attention to one another, which fills an
            object that the word's own map only touches (as in Attn2Mask and DiffSeg).
    """
    cross = maps.cross.mean(0) if step is None else maps.cross[step]
    heat = cross[:, list(positions)].sum(-1)
    for _ in range(spread):
        heat = maps.pixels @ heat
    return heat.unflatten(0, (maps.height, maps.width))


def normalize(heat: torch.Tensor) -> torch.Tensor:
    """Stretches a heat map to [0, 1]; a constant one becomes 0."""
    low, high = heat.min(), heat.max()
    return (heat - low) / (high - low).clamp(min=1e-8)
