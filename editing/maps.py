"""Where the model sees the words of a photo's caption."""

from __future__ import annotations

from backbones.backbone import Backbone
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory
from masks.aggregate import AttentionMaps
from masks.record import record_maps

MAP_LEVELS = 10  # noise levels at which the photo's own attention is looked at
MAP_START = 0.5  # share of the way from noise to photo before them, where words are seen in noise rather than in things


def look_for_words(
    backbone: Backbone, trajectory: Trajectory, levels: int = MAP_LEVELS, start: float = MAP_START
) -> AttentionMaps:
    """The attention of a trajectory's caption over the photo, at `levels` of its noise levels, see `steps_mapped`."""
    trajectory = trajectory.to(backbone.device)
    schedule, steps = make_schedule(backbone, trajectory.steps), steps_mapped(trajectory, levels, start)
    timesteps = [schedule.timesteps[i] for i in steps]
    return record_maps(backbone, trajectory.latents[steps], timesteps, backbone.condition([trajectory.caption]))


def steps_mapped(trajectory: Trajectory, levels: int = MAP_LEVELS, start: float = MAP_START) -> list[int]:
    """The steps whose noise levels the maps are of: evenly spread over the way from the share `start` of it on."""
    return trajectory.spread_steps(levels, start)
