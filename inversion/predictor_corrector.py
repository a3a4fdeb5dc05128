"""Predictor-corrector inversion: as cheap as DDIM inversion, and nearer to what sampling retraces."""

from __future__ import annotations

import torch

from backbones.backbone import Backbone
from backbones.condition import Condition
from inversion.fixed_point import implicit_invert
from inversion.progress import Progress
from inversion.schedule import Schedule
from inversion.settings import InversionSettings
from inversion.trajectory import Inverted


def predictor_corrector(
    backbone: Backbone,
    schedule: Schedule,
    latents: torch.Tensor,
    condition: Condition,
    settings: InversionSettings,
    progress: Progress,
) -> Inverted:
    """Inversion whose noise is looked up where the last step's noise leads (Jiao et al., ICLR 2026).

    `z' = step(z_s, eps_s)` predicts the noisier end, `eps_t = model(z', t)` is the noise there, and `z_t = step(z_s,
    eps_t)` corrects: the first iterate of `fixed_point`, for one evaluation a step and one more to begin with.

    Arguments are those of every method, see `method.Invert`.
    """
    with progress.phase("invert", schedule.steps) as callback:
        pivots = implicit_invert(backbone, schedule, latents, condition, iterations=1, callback=callback)
    return Inverted(pivots, backbone.condition([""]).expand(schedule.steps))
