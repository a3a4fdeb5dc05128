"""What a photo's file says of it beside its pixels: which way is up, the camera, the time and the place."""

from __future__ import annotations

from PIL import ExifTags, Image

_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# The rest of a first EXIF directory says how a file lays out its pixels, or may hold a thumbnail of the unedited photo.
_KEPT_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Rating,
    ExifTags.Base.RatingPercent,
    ExifTags.Base.Copyright,
    ExifTags.Base.XPTitle,
    ExifTags.Base.XPComment,
    ExifTags.Base.XPAuthor,
    ExifTags.Base.XPKeywords,
    ExifTags.Base.XPSubject,
)


def read_exif(image: Image.Image) -> Image.Exif | None:
    """A copy of the image's EXIF, perhaps empty; None where it is damaged."""
    try:
        exif = Image.Exif()
        exif.load(image.info.get("exif") or b"")  # the JPEG reader keeps quiet about what raises here
        exif.load(image.getexif().tobytes())
        return exif
    except Exception:  # the parser raises what it pleases on damaged data
        return None


def turn_upright(image: Image.Image, exif: Image.Exif) -> Image.Image:
    """The image as its EXIF orientation says that it is to be seen; as it is where that says nothing."""
    transpose = _TRANSPOSES.get(exif.get(ExifTags.Base.Orientation, 1))
    return image if transpose is None else image.transpose(transpose)


def upright_exif(exif: Image.Exif, size: tuple[int, int]) -> bytes | None:
    """The EXIF of upright pixels of `size`, serialised; None where there was none."""
    if not len(exif):
        return None
    kept = Image.Exif()
    for tag in _KEPT_TAGS:
        if tag in exif:
            kept[tag] = exif[tag]
    kept[ExifTags.Base.Orientation] = 1
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        entries = dict(exif.get_ifd(ifd))
        for tag, side in zip((ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight), size, strict=True):
            if tag in entries:
                entries[tag] = side
        if entries:
            kept[ifd] = entries
    return kept.tobytes()
