"""What a model saw of a photo, from the trajectory that it left."""

from __future__ import annotations

from backbones.photo import Photo
from backbones.pixels import to_pixels
from backbones.view import View
from inversion.trajectory import Trajectory


def look_again(trajectory: Trajectory, photo: Photo) -> View:
    """The view that a trajectory starts from, without asking the model again.

    Raises:
        EditRealError: The photo is another one.
    """
    trajectory.check_valid_for(pixel_hash=photo.pixel_hash)
    return View(photo, trajectory.geometry, to_pixels(photo, trajectory.geometry), trajectory.latents[-1:])
