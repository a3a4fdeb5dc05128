"""Null-text and prompt-to-prompt written plainly from the papers: what our speed is compared with.

Null-text inversion (Mokady et al., CVPR 2023) and prompt-to-prompt (Hertz et al., ICLR 2023) as people run them: four
rows a step, attention whose probabilities are worked out for every row and kept up to 32x32, Adam with up to ten
updates a timestep, a stop test after the update, float32, and weights that are not frozen, so that every backward pass
goes through them too. Nothing here is shared with ours but the model, its schedule and the alignment of the captions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import nn

from backbones.backbone import Backbone
from backbones.levels import Level
from editing.align import Alignment, edited_words, new_words
from inversion.schedule import Schedule, make_schedule
from masks.record import map_sites

STORED = 32**2  # pixels of a map, up to which the published controller keeps probabilities


@dataclass(frozen=True)
class Published:
    """The settings of the published evaluation on PIE-Bench (Ju et al., ICLR 2024)."""

    guidance_scale: float = 7.5
    updates: int = 10
    cross_replace: float = 0.4
    self_replace: float = 0.6
    emphasis: float = 2.0
    blend: bool = True
    blend_start: float = 0.2
    blend_threshold: float = 0.3


@dataclass(eq=False)
class Plain:
    """A Stable Diffusion model as the published code holds it.

    Attributes:
        backbone: The model.
        steps: Of the schedule.
        frozen: False lets gradients flow into the weights, as published.
        dtype: Of the network; float32 as published.
        settings: Of the published evaluation.
    """

    backbone: Backbone
    steps: int = 50
    frozen: bool = False
    dtype: torch.dtype = torch.float32
    settings: Published = field(default_factory=Published)

    def __post_init__(self) -> None:
        unet = copy.deepcopy(self.backbone.denoiser)
        nn.Module.to(unet, self.dtype, memory_format=torch.contiguous_format)  # diffusers' own gives advice
        self.unet = unet.requires_grad_(not self.frozen)
        self.schedule: Schedule = make_schedule(self.backbone, self.steps)
        height = width = self.backbone.image_size // self.backbone.vae_factor
        self.map_pixels = map_sites(self.backbone.sites(height, width))[0].cells

    def noise(self, latents: torch.Tensor, i: int, embeds: torch.Tensor) -> torch.Tensor:
        """The UNet's prediction at step `i`, `(B, C, h, w)` float32."""
        timestep = self.schedule.timesteps[i]
        output: torch.Tensor = self.unet(latents.to(self.dtype), timestep, embeds.to(self.dtype)).sample
        return output.float()

    def embed(self, text: str) -> torch.Tensor:
        return self.backbone.condition([text]).embeds


def move(latents: torch.Tensor, noise: torch.Tensor, start: Level, end: Level) -> torch.Tensor:
    """DDIM's step between two levels (Song et al. 2021, equation 12)."""
    photo = (latents - start.noise * noise) / start.signal
    return end.signal * photo + end.noise * noise


@torch.no_grad()
def invert(plain: Plain, latents: torch.Tensor, caption: str) -> torch.Tensor:
    """DDIM inversion with the caption, `(steps + 1, C, h, w)` from noise to photo."""
    embeds, levels, pivots = plain.embed(caption), plain.schedule.levels, [latents]
    for i in reversed(range(plain.steps)):
        latents = move(latents, plain.noise(latents, i, embeds), levels[i + 1], levels[i])
        pivots.append(latents)
    return torch.cat(pivots[::-1])


def null_text(plain: Plain, pivots: torch.Tensor, caption: str) -> torch.Tensor:
    """An unconditional embedding a step, `(steps, K, D)` (Mokady et al., algorithm 1)."""
    embeds, uncond, levels = plain.embed(caption), plain.embed(""), plain.schedule.levels
    latents, found = pivots[:1], []
    for i in range(plain.steps):
        uncond = uncond.clone().detach().requires_grad_()
        share = i * 50 / plain.steps
        optimizer = torch.optim.Adam([uncond], lr=1e-2 * (1 - share / 100))
        with torch.no_grad():
            cond = plain.noise(latents, i, embeds)
        for _ in range(plain.settings.updates):
            guided = guide(plain.noise(latents, i, uncond), cond, plain.settings.guidance_scale)
            loss = F.mse_loss(move(latents, guided, levels[i], levels[i + 1]), pivots[i + 1 : i + 2])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if loss.item() < 1e-5 + 2e-5 * share:
                break
        found.append(uncond.detach())
        with torch.no_grad():
            both = plain.noise(latents.expand(2, -1, -1, -1), i, torch.cat([uncond, embeds]))
            guided = guide(both[:1], both[1:], plain.settings.guidance_scale)
            latents = move(latents, guided, levels[i], levels[i + 1])
    return torch.cat(found)


def guide(uncond: torch.Tensor, cond: torch.Tensor, scale: float) -> torch.Tensor:
    return uncond + scale * (cond - uncond)


@torch.no_grad()
def edit(plain: Plain, noise: torch.Tensor, uncond: torch.Tensor, alignment: Alignment) -> torch.Tensor:
    """Source and edit, `(2, C, h, w)`, sampled together from the photo's noise `(1, C, h, w)`."""
    return edit_with_mask(plain, noise, uncond, alignment)[0]


@torch.no_grad()
def edit_with_mask(
    plain: Plain, noise: torch.Tensor, uncond: torch.Tensor, alignment: Alignment
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, and the last step's mask `(1, 1, h, w)`, as it would be blended with."""
    levels, settings = plain.schedule.levels, plain.settings
    captions = torch.cat([plain.embed(alignment.source.text), plain.embed(alignment.target.text)])
    latents, controller = noise.expand(2, -1, -1, -1), Controller(plain, alignment)
    with controller.installed(plain.unet):
        for i in range(plain.steps):
            controller.step = i
            rows = torch.cat([uncond[i].expand(2, -1, -1), captions])
            of_uncond, of_cond = plain.noise(torch.cat([latents, latents]), i, rows).chunk(2)
            guided = guide(of_uncond, of_cond, settings.guidance_scale)
            latents = move(latents, guided, levels[i], levels[i + 1])
            if settings.blend and i + 1 > settings.blend_start * plain.steps:
                latents = latents[:1] + controller.mask(latents) * (latents - latents[:1])
    return latents, controller.mask(latents)


class Controller:
    """Every layer's probabilities, kept and changed (Hertz et al., algorithm 1; equations 4 to 6)."""

    def __init__(self, plain: Plain, alignment: Alignment) -> None:
        self.plain, self.alignment, self.step = plain, alignment, 0
        device = plain.backbone.device
        self.carry, self.fresh = (
            part.to(device) for part in (alignment.carry_matrix(swaps=True), alignment.fresh_tokens(swaps=True))
        )
        self.words = edited_words(alignment, ())
        self.scale = torch.ones(alignment.target.length, device=device)
        for word in new_words(alignment):
            self.scale[list(word.positions)] = plain.settings.emphasis
        self.kept: dict[str, torch.Tensor] = {}

    @contextmanager
    def installed(self, unet: Any) -> Iterator[None]:
        found = unet.attn_processors
        unet.set_attn_processor({name: Storing(name, self) for name in found})
        try:
            yield
        finally:
            unet.set_attn_processor(found)

    def change(self, name: str, probs: torch.Tensor, cross: bool) -> torch.Tensor:
        """The probabilities `(4, heads, Q, K)` of one layer, kept, then edited in the last row."""
        settings, share = self.plain.settings, self.step / self.plain.steps
        source, target = probs[2], probs[3]
        if probs.shape[2] <= STORED:
            self.kept[name] = probs[2:].clone() if name not in self.kept else self.kept[name] + probs[2:]
        if cross and share < settings.cross_replace:
            carried = source @ self.carry.to(source) * ~self.fresh + target * self.fresh
            target = carried * self.scale
        elif not cross and share < settings.self_replace and probs.shape[2] <= STORED:
            target = source
        return torch.cat([probs[:3], target[None]])

    def mask(self, latents: torch.Tensor) -> torch.Tensor:
        """Local blend's mask of the changed words, `(1, 1, h, w)` (Hertz et al., section 4)."""
        maps = [kept for name, kept in self.kept.items() if "attn2" in name and kept.shape[2] == self.plain.map_pixels]
        mean = torch.stack([one.mean(1) for one in maps]).mean(0)  # (2, Q, K)
        words = [[position for word in some for position in word.positions] for some in self.words]
        found = [one[:, positions].sum(-1) for one, positions in zip(mean, words, strict=True)]
        side = round(self.plain.map_pixels**0.5)
        heat = F.max_pool2d(torch.stack(found).reshape(2, 1, side, side), 3, stride=1, padding=1)
        heat = F.interpolate(heat, latents.shape[-2:])
        above = heat / heat.amax((2, 3), keepdim=True) > self.plain.settings.blend_threshold
        return (above[:1] | above[1:]).float()


class Storing:
    """Attention whose probabilities are all worked out and handed to the controller."""

    def __init__(self, name: str, controller: Controller) -> None:
        self.name, self.controller = name, controller

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        **_: object,
    ) -> torch.Tensor:
        cross = encoder_hidden_states is not None
        context = encoder_hidden_states if cross else hidden_states
        query, key, value = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for part in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        probs = (query @ key.transpose(-1, -2) * attn.scale).softmax(-1)
        probs = self.controller.change(self.name, probs, cross)
        attended = (probs @ value).transpose(1, 2).flatten(2)
        out: torch.Tensor = attn.to_out[1](attn.to_out[0](attended))
        return out
