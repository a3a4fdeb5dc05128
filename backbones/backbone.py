"""What a model is: networks, tokenizer and schedule values in one frozen bundle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from backbones.errors import EditRealError


@dataclass(frozen=True, eq=False)
class Backbone:
    """A text-conditioned latent diffusion model with frozen weights.

    Latents, embeddings and all arithmetic outside the networks are float32; `dtype` is the UNet's and the text
    encoder's. The autoencoder always computes in float32, since half precision blackens images.

    Attributes:
        name: What the model was loaded as: `bundled`, a folder or a hub id.
        unet: The denoiser.
        vae: The autoencoder.
        text_encoder: The caption's encoder.
        tokenizer: Its tokenizer.
        alphas_cumprod: The product of the alphas at every training timestep, `(T,)` float64 on the CPU.
        final_alpha_prod: The product that stands for "no noise" at the end of sampling.
        steps_offset: Added to every sampled timestep, as the scheduler's configuration asks.
        timestep_spacing: `leading` or `trailing`, as in diffusers' schedulers.
        prediction_type: `epsilon` or `v_prediction`.
        known_words: The words that the model was trained on, where it says so; None for an open vocabulary.
        guidance_scale: That suits the model's edits; Stable Diffusion's 7.5 where it says nothing else.
    """

    name: str
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    alphas_cumprod: torch.Tensor
    final_alpha_prod: float
    steps_offset: int
    timestep_spacing: str
    prediction_type: str
    known_words: frozenset[str] | None
    guidance_scale: float

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    @property
    def vae_factor(self) -> int:
        """Pixels a side of one latent cell."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def image_size(self) -> int:
        """Side in pixels of the square photos that the model was trained on."""
        return int(self.unet.config.sample_size) * self.vae_factor

    @property
    def size_multiple(self) -> int:
        """Sides of a working photo in pixels are multiples of this, so that every level of the UNet divides evenly."""
        return int(self.vae_factor * 2 ** (len(self.unet.config.block_out_channels) - 1))

    @cached_property
    def fingerprint(self) -> str:
        """Tells models apart: a hash of the schedule and of every weight's sum and first values."""
        schedule = (self.prediction_type, self.timestep_spacing, self.steps_offset, self.final_alpha_prod)
        digest = hashlib.sha256(repr((*schedule, float(self.alphas_cumprod.sum()))).encode())
        for network in (self.unet, self.vae, self.text_encoder):
            for name, weight in network.state_dict().items():
                values = torch.cat([weight.flatten()[:8].float(), weight.float().sum()[None]]).cpu()
                digest.update(name.encode() + values.numpy().tobytes())
        return digest.hexdigest()[:32]

    def noise_pred(
        self, latents: torch.Tensor, timestep: int | torch.Tensor, prompt_embeds: torch.Tensor
    ) -> torch.Tensor:
        """The noise in `latents`, whatever the model itself predicts.

        A v-prediction is converted by epsilon = sqrt(alpha_prod_t) v + sqrt(1 - alpha_prod_t) x_t (Salimans and
        Ho 2022, appendix D).

        Args:
            latents: `(B, C, h, w)` float32.
            timestep: One for all, or `(B,)`.
            prompt_embeds: `(B, K, D)`.

        Returns:
            `(B, C, h, w)` float32.
        """
        steps = torch.as_tensor(timestep, device=self.device).expand(len(latents))
        output = self.unet(latents.to(self.dtype), steps, prompt_embeds.to(self.dtype)).sample.float()
        if self.prediction_type == "epsilon":
            return output
        alpha_prod_t = self.alphas_cumprod[steps.cpu()].to(latents)[:, None, None, None]
        return alpha_prod_t.sqrt() * output + (1 - alpha_prod_t).sqrt() * latents


def check_finite(tensor: torch.Tensor, what: str) -> torch.Tensor:
    """`tensor` itself, or an error where it holds NaN or infinity.

    Raises:
        EditRealError: With the remedy, which is nearly always a wider number format.
    """
    if not torch.isfinite(tensor).all():
        raise EditRealError(
            f"expected finite {what}, got NaN or infinity: the model overflowed in {tensor.dtype}'s network format; "
            "load it with dtype=torch.float32 (or bfloat16 on a GPU)"
        )
    return tensor
