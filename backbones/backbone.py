"""What a model is: networks, noise levels and what its family knows, in one frozen bundle."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from backbones.attention import Site
from backbones.condition import Condition
from backbones.fingerprint import update_with_weights
from backbones.levels import PREDICTIONS, Level, NoiseLevels, Prediction
from backbones.text import Caption, parse_caption

Configs = Mapping[str, Mapping[str, Any]]
"""The networks' configurations, by the names of the parts."""


def by_first_tokenizer(backbone: Backbone, text: str) -> Caption:
    """A caption's words on the tokens of the first tokenizer."""
    return parse_caption(backbone.tokenizer, text)


@dataclass(frozen=True)
class Family:
    """What the models of one family have in common: their parts, and functions of a backbone of it.

    Attributes:
        title: What people call them.
        parts: The classes of networks, tokenizers and scheduler, by the names that diffusers' pipeline has for them.
        check: Refuses with `EditRealError` what the configurations of the networks say is another kind of model.
        assemble: Parts and the pipeline's own configuration (`model_index.json`) to the fields of a `Backbone` that the
            family fills.
        condition: Parsed captions to one row each.
        denoise: Latents `(B, C, h, w)`, timesteps `(B,)` and condition, in the network's number format, to the
            network's output `(B, C, h, w)`.
        sites: The layers that a control can take part in, for latents of a height and width, in the order in which the
            latents pass them.
        activations: About how many numbers one row of a batch holds at once in the denoiser, for latents of a height
            and width.
        encode: Pixels `(B, 3, H, W)` in [-1, 1] to latents.
        decode: Latents to pixels on the CPU.
        parse: A caption to its words on the tokens; those of the first tokenizer by default.
        guidance_scale: The default of diffusers' pipeline.
        optional: Parts that a model may lack.
    """

    title: str
    parts: Mapping[str, Any]
    check: Callable[[Configs], None]
    assemble: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
    condition: Callable[[Backbone, Sequence[Caption]], Condition]
    denoise: Callable[[Backbone, torch.Tensor, torch.Tensor, Condition], torch.Tensor]
    sites: Callable[[Backbone, int, int], list[Site]]
    activations: Callable[[Backbone, int, int], int]
    encode: Callable[[Backbone, torch.Tensor], torch.Tensor]
    decode: Callable[[Backbone, torch.Tensor], torch.Tensor]
    parse: Callable[[Backbone, str], Caption] = by_first_tokenizer
    guidance_scale: float = 7.5
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Backbone:
    """A text-conditioned diffusion model with frozen weights.

    Latents, embeddings and all arithmetic outside the networks are float32, but for methods that bring latents in
    float64; `dtype` is the denoiser's and the text encoders'. The autoencoder always computes in float32, since half
    precision blackens images.

    Attributes:
        name: What the model was loaded as: `bundled`, a folder or a hub id.
        family: What all models of its kind know.
        denoiser: The network that sees the noise.
        vae: The autoencoder; None for a model that works on pixels.
        text_encoders: One or more.
        tokenizers: Theirs; words are placed on the tokens of the first.
        levels: That it was trained at.
        latent_channels: `C`.
        vae_factor: Pixels a side of one latent cell.
        image_size: Side in pixels of the square photos that the model was trained on.
        size_multiple: Sides of a working photo in pixels are multiples of this, so that every level of the denoiser
            divides evenly.
        known_words: The words that the model was trained on, where it says so; None for an open vocabulary.
        guidance_scale: That suits the model's edits; the family's where the model says nothing else.
        mask_spread: How often a word's heat is carried along self-attention for a mask, that suits the model's maps.
        device: Where it computes. Networks that do not fit there wait in the machine's memory, see `memory`.
        zero_uncond: Whether zeros stand for the empty caption.
        words: The words of its captions by what they are for, such as flowers or colours, where the model says so.
        trust: What was fitted to this model's edits, for `editing.trust.TrustModel`; None where nothing was.
        lock: Held by whoever runs the denoiser, and for as long as a control is on it.
    """

    name: str
    family: Family
    denoiser: Any
    vae: Any
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    levels: NoiseLevels
    latent_channels: int
    vae_factor: int
    image_size: int
    size_multiple: int
    known_words: frozenset[str] | None
    guidance_scale: float
    device: torch.device
    mask_spread: int = 1
    zero_uncond: bool = False
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trust: Mapping[str, Any] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.denoiser.parameters()).dtype  # type: ignore[no-any-return]  # diffusers' own visits all modules

    @property
    def dtype_name(self) -> str:
        """Such as `float32`."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def tokenizer(self) -> Any:
        """The one on whose tokens words are placed."""
        return self.tokenizers[0]

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return tuple(part for part in (self.denoiser, self.vae, *self.text_encoders) if part is not None)

    @property
    def fingerprint(self) -> str:
        """A hash of levels and of some bytes of every weight: the same on every machine, for one number format.

        It is worked out anew each time, since a LoRA may be put on, scaled or taken off between two edits.
        """
        levels = self.levels
        told = (levels.prediction_type, levels.timestep_spacing, levels.steps_offset, levels.final)
        digest = hashlib.sha256(repr(told).encode() + levels.signal.numpy().tobytes())
        with self.lock:
            for network in self.networks:
                update_with_weights(digest, network)
        return digest.hexdigest()[:32]

    def guidance(self, asked: float | None) -> float:
        """The guidance scale that was asked for, or the one that suits the model."""
        return self.guidance_scale if asked is None else asked

    def parse(self, text: str) -> Caption:
        """A caption's words on the tokens that the denoiser is told.

        Raises:
            EditRealError: It is no text, or holds characters that do not fall into words.
        """
        return self.family.parse(self, text)

    def condition(self, captions: Sequence[str | Caption]) -> Condition:
        """What the denoiser is told of each caption, one row each; the empty one is the unconditional.

        Raises:
            EditRealError: A caption that is no text.
        """
        parsed = [one if isinstance(one, Caption) else self.parse(one) for one in captions]
        with self.visited_by(*self.text_encoders):
            return self.family.condition(self, parsed)

    def sites(self, height: int, width: int) -> list[Site]:
        """The layers that a control can take part in, for latents of `height` x `width`."""
        return self.family.sites(self, height, width)

    def activations(self, height: int, width: int) -> int:
        """About how many numbers one row of latents of `height` x `width` holds at once in the denoiser."""
        return self.family.activations(self, height, width)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels `(B, 3, H, W)` in [-1, 1] to latents `(B, C, h, w)` float32 on the model's device."""
        with self.visited_by(self.vae):
            return self.family.encode(self, pixels)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents `(B, C, h, w)` to pixels `(B, 3, H, W)` float32 in [-1, 1] on the CPU."""
        with self.visited_by(self.vae):
            return self.family.decode(self, latents)

    @contextmanager
    def visited_by(self, *networks: Any) -> Iterator[None]:
        """Brings those of the networks that wait in the machine's memory to the device, and back afterwards."""
        with self.lock, ExitStack() as back:
            for network in networks:
                if network is not None and network.device.type == "cpu" != self.device.type:
                    back.callback(network.to, network.device)
                    network.to(self.device)
            yield

    def denoise(self, latents: torch.Tensor, timestep: int | torch.Tensor, condition: Condition) -> torch.Tensor:
        """The network's own output, `(B, C, h, w)` float32, or float64 of a network in that; arguments of `predict`."""
        if isinstance(timestep, int):  # filled in on the device, since a copy would be waited for
            timesteps = torch.full((len(latents),), timestep, device=self.device)
        else:
            timesteps = timestep.to(self.device).expand(len(latents))
        with self.lock:
            output = self.family.denoise(self, latents.to(self.dtype), timesteps, condition.to(self.dtype))
        return output.to(torch.promote_types(output.dtype, torch.float32))

    def predict(
        self, latents: torch.Tensor, timestep: int | torch.Tensor, condition: Condition, level: Level | None = None
    ) -> Prediction:
        """The photo and the noise that the model sees in `latents`.

        Args:
            latents: `(B, C, h, w)` float32, or float64.
            timestep: One for all, or `(B,)`.
            condition: `B` rows.
            level: At which the latents are; by default the timestep's own.
        """
        trained = self.levels.at(timestep)
        output = self.denoise(latents, timestep, condition)
        return PREDICTIONS[self.levels.prediction_type](output, latents, trained, trained if level is None else level)
