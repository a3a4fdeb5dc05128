"""Noise levels as pairs (signal, noise), and what a denoiser's output means at them.

Latents at a level are `signal * x0 + noise * epsilon`. For a variance-preserving model signal and noise are
sqrt(alpha_prod) and sqrt(1 - alpha_prod), for a rectified flow 1 - t and t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from backbones.errors import EditRealError

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

Amount = float | torch.Tensor


class Level(NamedTuple):
    """How much of latents is the photo and how much is noise: numbers, or `(B, 1, 1, 1)` for levels of their own."""

    signal: Amount
    noise: Amount


class Prediction(NamedTuple):
    """What a denoiser sees in latents, both `(B, C, h, w)`: `latents = signal * x0 + noise_level * noise`.

    They are float32; where latents or network are float64, so is what is worked out of them.
    """

    x0: torch.Tensor
    noise: torch.Tensor


def of_epsilon(output: torch.Tensor, latents: torch.Tensor, trained: Level, level: Level) -> Prediction:
    """The output is the noise (Ho et al. 2020)."""
    return Prediction((latents - level.noise * output) / level.signal, output)


def of_velocity(output: torch.Tensor, latents: torch.Tensor, trained: Level, level: Level) -> Prediction:
    """The output is v = signal * noise - noise_level * x0 (Salimans and Ho 2022, appendix D).

    At the level that the timestep was trained at, nothing is divided by the signal, so that it may be 0 there (zero
    terminal SNR, Lin et al., WACV 2024).
    """
    noise = trained.signal * output + trained.noise * latents
    if level is trained or level == trained:
        return Prediction(trained.signal * latents - trained.noise * output, noise)
    return Prediction((latents - level.noise * noise) / level.signal, noise)


def of_flow(output: torch.Tensor, latents: torch.Tensor, trained: Level, level: Level) -> Prediction:
    """The output is the velocity noise - x0 of a rectified flow, whose levels are (1 - t, t) (Liu et al., ICLR 2023).

    A step between two levels is then Euler's: `latents + (t' - t) * output`. Nothing is divided.
    """
    return Prediction(latents - level.noise * output, latents + level.signal * output)


PREDICTIONS: dict[str, Callable[[torch.Tensor, torch.Tensor, Level, Level], Prediction]] = {
    "epsilon": of_epsilon,
    "v_prediction": of_velocity,
    "flow": of_flow,
}
"""`(output, latents, trained, level) -> Prediction` by the name that a scheduler's configuration has for it, or `flow`.

`trained` is the level that the timestep stands for, `level` the one at which the latents are: an inversion asks for the
noise of a transition at its cleaner end.
"""


def from_nearby(prediction: Prediction, latents: torch.Tensor, level: Level, prediction_type: str) -> Prediction:
    """What a prediction for other latents near by says of `latents` at `level`.

    The noise is taken to be the same. Where all is noise it says nothing of the photo, so of a rectified flow the
    velocity is taken instead, and of a model that predicts v the photo, wherever there is more noise than photo.
    """
    if prediction_type == "flow":
        return of_flow(prediction.noise - prediction.x0, latents, level, level)
    if prediction_type == "v_prediction" and level.noise > level.signal:
        return Prediction(prediction.x0, (latents - level.signal * prediction.x0) / level.noise)
    return of_epsilon(prediction.noise, latents, level, level)


@dataclass(frozen=True, eq=False)
class NoiseLevels:
    """The levels that a model was trained at, and how a sampler walks through them.

    Attributes:
        signal: At every training timestep, `(T,)` float64 on the CPU.
        noise: The same.
        final: The level that stands for "no noise" at the end of sampling.
        steps_offset: Added to every sampled timestep, as the scheduler's configuration asks.
        timestep_spacing: `leading` or `trailing`, as in diffusers' schedulers.
        prediction_type: A key of `PREDICTIONS`.
    """

    signal: torch.Tensor
    noise: torch.Tensor
    final: Level
    steps_offset: int
    timestep_spacing: str
    prediction_type: str

    def __len__(self) -> int:
        return len(self.signal)

    def at(self, timestep: int | torch.Tensor) -> Level:
        """The level of one timestep, or of `(B,)` timesteps as `(B, 1, 1, 1)` float32 on their device."""
        if isinstance(timestep, int):
            return Level(float(self.signal[timestep]), float(self.noise[timestep]))
        index = timestep.cpu()
        signal, noise = (part[index].float()[:, None, None, None] for part in (self.signal, self.noise))
        return Level(signal.to(timestep.device), noise.to(timestep.device))


def read_levels(scheduler: DDIMScheduler) -> NoiseLevels:
    """The levels that a scheduler's configuration describes.

    Raises:
        EditRealError: A configuration whose arithmetic is not ours.
    """
    config = scheduler.config
    if config.prediction_type not in ("epsilon", "v_prediction"):
        raise EditRealError(f"expected a model that predicts epsilon or v, got {config.prediction_type!r}")
    if config.timestep_spacing not in ("leading", "trailing"):
        raise EditRealError(f"expected leading or trailing timesteps, got {config.timestep_spacing!r}")
    alphas_cumprod = scheduler.alphas_cumprod.double()
    if config.prediction_type == "epsilon" and float(alphas_cumprod[-1]) == 0:
        raise EditRealError(
            "expected a model of zero terminal SNR (rescale_betas_zero_snr) to predict v, got one that predicts "
            "epsilon, which says nothing of the photo where all is noise; correct its scheduler_config.json"
        )
    signal, noise = alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()
    final = Level(1.0, 0.0) if config.set_alpha_to_one else Level(float(signal[0]), float(noise[0]))
    return NoiseLevels(
        signal=signal,
        noise=noise,
        final=final,
        steps_offset=int(config.steps_offset),
        timestep_spacing=config.timestep_spacing,
        prediction_type=config.prediction_type,
    )


def read_flow_levels(scheduler: FlowMatchEulerDiscreteScheduler) -> NoiseLevels:
    """The levels of a rectified flow, shifted towards noise as the scheduler's configuration says.

    `t = shift s / (1 + (shift - 1) s)` for s from 0.001 to 1 (Esser et al., ICML 2024, equation 23). They are visited
    at even steps of s, from 1 on.

    Raises:
        EditRealError: The shift depends on a picture's size.
    """
    config = scheduler.config
    if config.use_dynamic_shifting:
        raise EditRealError("expected a model whose noise levels are the same at every size, got dynamic shifting")
    steps = int(config.num_train_timesteps)
    share = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    noise = config.shift * share / (1 + (config.shift - 1) * share)
    return NoiseLevels(
        signal=1 - noise,
        noise=noise,
        final=Level(1.0, 0.0),
        steps_offset=0,
        timestep_spacing="trailing",
        prediction_type="flow",
    )
