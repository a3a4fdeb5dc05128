"""Edit-friendly DDPM inversion: independent noises at every level, and what DDPM has to add to pass through them."""

from __future__ import annotations

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from backbones.finite import check_finite
from inversion.guidance import guide
from inversion.method import Method
from inversion.noised import noised_path
from inversion.progress import Progress
from inversion.schedule import Schedule
from inversion.settings import InversionSettings
from inversion.steps import ddim_step, posterior_deviation
from inversion.trajectory import Inverted, Trajectory
from inversion.walk import Retrace

SOURCE_GUIDANCE = 3.5  # with 12 of 100 steps left out before prompt-to-prompt (Huberman-Spiegelglas et al., CVPR 2024)
SKIP = 0.12


@torch.no_grad()
def edit_friendly(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
) -> Inverted:
    """Noise of its own at every level, and DDPM's steps between (Huberman-Spiegelglas et al., CVPR 2024).

    `x_t = signal x_0 + noise n_t` with independent `n_t`; a step's residual is `x_(t-1) - mu_t(x_t)`, the paper's
    `sigma_t z_t` before the division by sigma. Adding it leads the source through every `x_t`, and the last one to the
    photo itself. Another seed is another edit.

    With eta 0 `mu_t` is DDIM's, which has no sigma to divide by. The published code's eta 0 is plain DDIM inversion:
    that is `direct`. Between 0 and 1 the published formula is not DDIM's, so that there is nothing in between here.

    Residuals of steps that sampling leaves out are 0. Arguments are those of every method, see `method.Invert`.
    """
    path, empty = noised_path(schedule, latents, settings.noise_seed), backbone.condition([""])
    residuals = torch.zeros_like(path[1:])
    with progress.phase("invert", len(schedule.sampled)) as callback:
        for done, i in enumerate(schedule.sampled):
            here, timestep = path[i : i + 1], schedule.timesteps[i]
            uncond, cond = (backbone.predict(here, timestep, one) for one in (empty, condition))
            deviation = settings.eta * posterior_deviation(schedule.levels[i], schedule.levels[i + 1])
            mean = ddim_step(guide(uncond, cond, SOURCE_GUIDANCE), schedule.levels[i + 1], deviation)
            residuals[i] = (path[i + 1 : i + 2] - mean)[0]
            callback(done, here)
    return Inverted(
        path,
        empty.expand(schedule.steps),
        report={
            "noise_seed": settings.noise_seed,
            "skip": settings.skip,
            "eta": settings.eta,
            "source_guidance": SOURCE_GUIDANCE,
        },
        kept={"residuals": check_finite(residuals, "inverted latents")},
        source_guidance=SOURCE_GUIDANCE,
    )


def ddpm(backbone: Backbone, trajectory: Trajectory, exact: bool) -> Retrace:
    """DDPM's steps with the residuals as their randomness, or DDIM's with what they miss."""
    return Retrace(backbone, trajectory, exact, eta=trajectory.report.get("eta", 1))  # older files are DDPM's


METHOD = Method(edit_friendly, ddpm, kept=("residuals",), skip=SKIP)
