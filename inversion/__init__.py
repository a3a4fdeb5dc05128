"""A photo's latents to noise, and exactly back."""

from inversion.invert import invert
from inversion.settings import InversionSettings
from inversion.trajectory import Trajectory

__all__ = ["InversionSettings", "Trajectory", "invert"]
