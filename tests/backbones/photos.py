"""Small photos of every kind."""

from __future__ import annotations

import functools

import numpy as np
from PIL import ExifTags, Image, ImageCms

from backbones.photo import Photo

SUFFIXES = (".jpg", ".png", ".webp", ".tif")
LOSSLESS = (".png", ".webp", ".tif")

INVERSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def noise(width: int = 40, height: int = 30, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(np.uint8)


def smooth(width: int = 40, height: int = 32) -> Image.Image:
    """A colour gradient that differs in every corner and survives JPEG."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x / 2 - y / 2], axis=-1).astype(np.uint8))


@functools.cache
def srgb_profile() -> bytes:
    """One profile for every caller: each that is created carries the second it was created in."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def camera_exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Artist] = "Artist"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.DateTimeOriginal: "2020:01:02 03:04:05",
        ExifTags.Base.ExifImageWidth: 32 if orientation > 4 else 40,  # of the pixels as they are stored
        ExifTags.Base.ExifImageHeight: 40 if orientation > 4 else 32,
    }
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (47.0, 30.0, 0.0)}
    return exif


def pixels_of(photo: Photo) -> np.ndarray:
    assert photo.image.mode == "RGB"
    return np.asarray(photo.image)
