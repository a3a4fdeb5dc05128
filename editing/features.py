"""What the decoder's layers hold of a photo: their features, and the three directions in which these differ most."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from backbones.attention import Control, Site, controlled
from backbones.backbone import Backbone
from backbones.errors import EditRealError
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory

COMPONENTS = 3  # red, green, blue
LEAST_SPREAD = 1e-3  # of the first component's: a direction in which cells differ by less has no colour
BOUNDS = (0.01, 0.99)  # quantiles of a component that become 0 and 1, so that a few cells do not darken the rest


class FeatureRecorder(Control):
    """Keeps what the residual branches of some sites give, and changes nothing.

    Attributes:
        found: `(B, C, h, w)` float32 by the site's name.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = list(sites)
        self.found: dict[str, torch.Tensor] = {}

    def sites(self, step: int) -> Collection[Site]:
        return self._sites

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        self.found[site.name] = hidden.float()
        return hidden


def decoder_layers(backbone: Backbone, height: int, width: int) -> list[Site]:
    """The decoder's residual blocks for latents of `height` x `width`, from coarse to fine: the layers 1, 2, ...

    Raises:
        EditRealError: The model has none.
    """
    layers = [site for site in backbone.sites(height, width) if site.kind == "residual" and site.part == "decoder"]
    if not layers:
        raise EditRealError(f"expected a model whose decoder has residual blocks, got one without: {backbone.name}")
    return layers


@torch.no_grad()
def decoder_features(
    backbone: Backbone, trajectory: Trajectory, steps: Sequence[int]
) -> list[tuple[Site, torch.Tensor]]:
    """The decoder's features of a photo on its way between noise and photo.

    Args:
        backbone: The model.
        trajectory: Of the photo.
        steps: At which to look, from 0 (noise) to `trajectory.steps - 1`.

    Returns:
        For every layer its site and features `(S, C, h, w)` float32: the output of the residual block's branch, which
        is what plug-and-play hands over (Tumanyan et al., CVPR 2023).

    Raises:
        EditRealError: A step that the trajectory does not have, or a trajectory of another model.
    """
    trajectory.check_valid_for(fingerprint=backbone.fingerprint, dtype=backbone.dtype_name)
    check_steps(steps, trajectory.steps)
    path, timesteps = trajectory.to(backbone.device), make_schedule(backbone, trajectory.steps).timesteps
    layers = decoder_layers(backbone, *path.latents.shape[-2:])
    condition, parts = backbone.condition([trajectory.caption]), []
    for step in steps:
        recorder = FeatureRecorder(layers)
        with controlled(backbone, recorder, step=step):
            backbone.denoise(path.latents[step : step + 1], timesteps[step], condition)
        parts.append(recorder.found)
    return [(site, torch.cat([found[site.name] for found in parts])) for site in layers]


def check_steps(chosen: Sequence[int], steps: int) -> None:
    """Refuses a step that a schedule of `steps` does not have.

    Raises:
        EditRealError: There is one.
    """
    if wrong := [step for step in chosen if not 0 <= step < steps]:
        raise EditRealError(f"expected steps between 0 and {steps - 1} to look at, got {wrong[0]}")


def principal_colors(features: torch.Tensor) -> torch.Tensor:
    """The first three principal components of a layer's features as colours, `(S, h, w, 3)` in [0, 1].

    The directions are shared by all steps, so that a colour means the same at each of them; every step's own mean is
    taken off before, which would be the largest difference of all.

    Args:
        features: `(S, C, h, w)`.
    """
    cells = features.cpu().double().permute(0, 2, 3, 1)
    centred = (cells - cells.mean((1, 2), keepdim=True)).flatten(0, 2)
    _, directions = torch.linalg.eigh(centred.T @ centred)  # by rising variance
    directions = directions[:, -COMPONENTS:].flip(1)
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    components = centred @ (directions * largest.sign())  # else the sign is the solver's whim
    low, high = components.quantile(torch.tensor(BOUNDS, dtype=torch.float64, device=components.device), dim=0)
    spread = high - low
    spread = spread.clamp(min=max(LEAST_SPREAD * float(spread.max()), 1e-12))  # else rounding would be stretched too
    colors = ((components - low) / spread).clamp(0, 1)
    return colors.reshape(*cells.shape[:3], COMPONENTS).float()
