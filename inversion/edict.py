"""EDICT: two coupled latents, each of which is known while the other moves, so that every step can be undone."""

from __future__ import annotations

from collections.abc import Callable

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.errors import EditRealError
from backbones.finite import check_finite
from backbones.levels import Level
from backbones.precision import finest
from inversion.ddim import ddim_invert
from inversion.guidance import guide
from inversion.method import Method
from inversion.progress import Progress
from inversion.schedule import Schedule, make_schedule
from inversion.settings import InversionSettings
from inversion.trajectory import Inverted, Trajectory
from inversion.walk import Predict, State

MIXING = 0.93  # p, the guidance scale and the share left out of Wallace et al., CVPR 2023
GUIDANCE = 3.0
SKIP = 0.2

Noise = Callable[[torch.Tensor], torch.Tensor]
"""The guided noise that the model sees in latents, at the timestep of a step."""


@torch.no_grad()
def edict(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
) -> Inverted:
    """Two coupled latents whose guided steps are undone exactly (Wallace et al., CVPR 2023).

    The guidance of the inversion is that of the edit. The latents are float64 where the device has it, since every step
    divides by `MIXING` twice; the network computes in its own number format. The steps that sampling leaves out are
    not undone: their latents, at which words may be looked for, are DDIM's.

    Raises:
        EditRealError: Sampling would begin where nothing of the photo is left, at a step that cannot be undone.
    """
    assert settings.guidance_scale is not None
    if not schedule.levels[schedule.first].signal:
        raise EditRealError(
            "expected skip to leave out the first step for inversion='edict', since at this model's noisiest level "
            f"nothing of the photo is left, got skip={settings.skip:g} of {schedule.steps} steps; take more skip or "
            "more steps, or inversion='direct'"
        )
    empty, scale = backbone.condition([""]), settings.guidance_scale
    pair: State = (latents.to(finest(latents.device)),) * 2
    pairs = [pair]
    with progress.phase("invert", schedule.steps) as callback:
        for done, i in enumerate(reversed(schedule.sampled)):

            def noise(at: torch.Tensor, timestep: int = schedule.timesteps[i]) -> torch.Tensor:
                uncond, cond = (backbone.predict(at, timestep, one) for one in (empty, condition))
                return guide(uncond, cond, scale).noise

            pair = undo(pair, *coefficients(schedule.levels[i], schedule.levels[i + 1]), i, noise)
            pairs.append(pair)
            callback(done, pair[0].float())
        earlier = ddim_invert(
            backbone,
            schedule.left_out,
            pair[0].float(),
            condition,
            lambda done, at: callback(len(pairs) - 1 + done, at),
        )
    first, second = (check_finite(torch.cat(path[::-1]), "inverted latents") for path in zip(*pairs, strict=True))
    return Inverted(
        torch.cat([earlier, first[1:-1].float(), latents]),
        empty.expand(schedule.steps),
        report={"mixing": MIXING, "skip": settings.skip},
        kept={"first": first, "second": second},
    )


def coefficients(noisier: Level, cleaner: Level) -> tuple[float, float]:
    """`a` and `b` of the sampler's step `a z + b eps` between two levels."""
    a = cleaner.signal / noisier.signal
    return float(a), float(cleaner.noise - a * noisier.noise)


def move(pair: State, a: float, b: float, step: int, noise: Noise) -> State:
    """One step of the sampler, each latent with the noise that the model sees in the other."""
    lead, other = in_turn(pair, step)
    lead = a * lead + b * noise(other)
    return mix((lead, a * other + b * noise(lead)), step)


def undo(pair: State, a: float, b: float, step: int, noise: Noise) -> State:
    """The same backwards, exactly."""
    lead, other = unmix(pair, step)
    other = (other - b * noise(lead)) / a
    return in_turn(((lead - b * noise(other)) / a, other), step)


def mix(moved: State, step: int) -> State:
    """Draws the latents of a step together, and gives them in their own order.

    The one that moved first is drawn first, while the authors' code begins with the same one at every step.
    """
    lead = MIXING * moved[0] + (1 - MIXING) * moved[1]
    return in_turn((lead, MIXING * moved[1] + (1 - MIXING) * lead), step)


def unmix(pair: State, step: int) -> State:
    """What `mix` was given."""
    lead, other = in_turn(pair, step)
    other = (other - (1 - MIXING) * lead) / MIXING
    return (lead - (1 - MIXING) * other) / MIXING, other


def in_turn(pair: State, step: int) -> State:
    """The latents change their parts with every step; twice is back."""
    return pair if step % 2 == 0 else (pair[1], pair[0])


class CoupledWalk:
    """Edits walk as coupled pairs, under their control at both evaluations of a step."""

    replays = False  # the source is somewhere else at each of the two

    def __init__(self, backbone: Backbone, trajectory: Trajectory, exact: bool) -> None:
        self.first = trajectory.first
        self._backbone, self._trajectory, self._exact = backbone, trajectory, exact
        self._schedule = make_schedule(backbone, trajectory.steps)

    def begin(self) -> State:
        return self._stored(self.first)

    def step(self, i: int, source: State, targets: State, predict: Predict) -> tuple[State, State]:
        a, b = coefficients(self._schedule.levels[i], self._schedule.levels[i + 1])
        arrived = self._stored(i + 1)
        # Where the source's own latents will be when the second of the targets' is moved is known beforehand.
        known = iter((in_turn(source, i)[1], unmix(arrived, i)[0]))
        scale = self._trajectory.guidance_scale

        def noise(at: torch.Tensor) -> torch.Tensor:
            here = torch.cat([next(known), at]) if self._exact else at
            of_source, uncond, cond = predict(here[:1], here[1:])
            of_targets = guide(uncond, cond, scale).noise
            if self._exact:
                return of_targets
            alone = self._backbone.predict(here[:1], self._schedule.timesteps[i], self._trajectory.uncond[i])
            return torch.cat([guide(alone, of_source, scale).noise, of_targets])

        if self._exact:
            return arrived, move(targets, a, b, i, noise)
        both = move(tuple(map(torch.cat, zip(source, targets, strict=True))), a, b, i, noise)
        return tuple(part[:1] for part in both), tuple(part[1:] for part in both)

    def _stored(self, level: int) -> State:
        """The pair at a level; of those that sampling leaves out there may be none."""
        kept = [self._trajectory.kept[name] for name in ("first", "second")]
        row = len(kept[0]) - 1 - self._trajectory.steps + level
        return tuple(part[row : row + 1] for part in kept)


METHOD = Method(edict, CoupledWalk, kept=("first", "second"), guidance_scale=GUIDANCE, skip=SKIP)
