"""A photo's latents to noise, and exactly back."""

from inversion.invert import invert
from inversion.trajectory import Trajectory

__all__ = ["Trajectory", "invert"]
