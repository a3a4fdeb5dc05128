"""A photo, read: upright, 8-bit RGB, whatever file, image or array it came in."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from backbones.errors import EditRealError
from backbones.exif import read_exif, turn_upright, upright_exif
from backbones.packet import kept_of, packet_in
from backbones.quiet import without_warnings

MAX_PIXELS = 50_000_000
"""Largest photo that is decoded unless told otherwise: a small file can claim a size that fills the memory."""

# Pillow opens more, and starts other programs for some of it (Ghostscript for EPS).
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "GIF", "BMP", "PPM", "JPEG2000")

_ADDRESS = re.compile(r"[a-z][a-z0-9+]+:/")  # as a path has it, with one slash; a drive has one letter

_ANIMATIONS = ("GIF", "WEBP", "PNG", "AVIF")

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


@dataclass(frozen=True)
class Photo:
    """An upright photo and what its file said about it.

    Attributes:
        image: RGB, 8 bits a channel, full size, with the EXIF orientation applied.
        alpha: L, the same size, where the photo had transparency.
        exif: What it says of the picture, the camera, the time and the place, with the orientation reset to 1. The
            embedded thumbnail is left out: it would show the unedited photo.
        icc_profile: Kept only where it describes the RGB pixels.
        xmp: Its own XMP packet, such as its rights and keywords, see `packet.kept_of`.
        comment: Of a JPEG.
        dpi: Pixels an inch, `(across, down)`, where the file says so.
        format: Pillow's name of the format it came in.
        path: The absolute path it came from.
    """

    image: Image.Image
    alpha: Image.Image | None = None
    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: str | None = None
    comment: bytes | None = None
    dpi: tuple[float, float] | None = None
    format: str | None = None
    path: Path | None = None

    @property
    def size(self) -> tuple[int, int]:
        """`(width, height)`."""
        return self.image.size

    @cached_property
    def pixel_hash(self) -> str:
        """SHA-256 in hex over the size and the RGB bytes."""
        digest = hashlib.sha256("{}x{}:".format(*self.size).encode())
        digest.update(self.image.tobytes())
        return digest.hexdigest()


PhotoSource = str | Path | Image.Image | np.ndarray | Photo


def open_photo(source: PhotoSource, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo as upright 8-bit RGB. The source is never changed.

    Of an animation or a file of several images, the first is taken. 16-bit greys are scaled by 1/257 and rounded;
    16-bit colour files are reduced to 8 bits by Pillow's reader.

    Args:
        source: A path; an image in any of Pillow's modes, where I holds 0..65535 and F holds 0..1; an array `(H, W)`,
            `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)`: uint8, uint16, or float in [0, 1]; or a photo that was read before,
            which comes back itself.
        max_pixels: Larger photos are refused before they are decoded.

    Raises:
        EditRealError: It cannot be read as a photo, or is larger than `max_pixels`.

    Example:
        >>> photo = open_photo("rose.jpg")
        >>> photo.size
        (640, 427)
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        filename = getattr(source, "filename", None)
        path = Path(filename).absolute() if filename and isinstance(filename, str) else None
        return _from_image(source, path, max_pixels, "the image")
    if isinstance(source, (str, Path)):
        return _from_file(Path(source), max_pixels)
    raise EditRealError(f"expected a path, a PIL image or a NumPy array as the photo, got {type(source).__name__}")


def check_photo(path: Path, *, max_pixels: int = MAX_PIXELS) -> None:
    """Refuses what `open_photo` would refuse by the file's head alone, in no time.

    Raises:
        EditRealError: There is no such file, it is no photo by its head, or it is larger than `max_pixels`.
    """
    with opened(path, max_pixels) as image:
        _check_pixels(*image.size, max_pixels, str(path))


def _from_file(path: Path, max_pixels: int) -> Photo:
    with opened(path, max_pixels) as image:
        photo = _from_image(image, path.absolute(), max_pixels, str(path))
        moves = _moves(image)
    if moves:
        warnings.warn(f"{path} is an animation, of which the first image is taken.", stacklevel=3)
    return photo


def _dpi_of(image: Image.Image) -> tuple[float, float] | None:
    """What a file says of its pixels an inch, where it can be; a TIFF that says nothing is read as one of 1."""
    try:
        across, down = (float(side) for side in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 1 < across < 2**16 and 1 < down < 2**16 else None


def _moves(image: Image.Image) -> bool:
    """Whether a file is an animation; those of several images that are no film, such as a scan's pages, are none."""
    try:
        with without_warnings():
            return image.format in _ANIMATIONS and bool(image.is_animated)  # type: ignore[attr-defined]
    except Exception:  # a decoder's, of later images that are not needed
        return False


def opened(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image of a photo's file, of which the head alone has been read; to be used in a `with`.

    Raises:
        EditRealError: There is no such file, or it is no photo by its head.
    """
    try:
        if not path.is_file():
            if _ADDRESS.match(str(path)):
                raise EditRealError(f"expected the path of a photo, got {path}; addresses are not read, download it")
            found = "a folder" if path.is_dir() else "no such file"
            raise EditRealError(f"expected a photo at {path}, found {found}; check the path")
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise EditRealError(f"cannot read {path} ({error}); check the path and its permissions") from error
    if not head:
        raise EditRealError(f"expected a photo at {path}, found an empty file; copy or download it again")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        register_heif(f"{path} is an HEIC photo, and reading it")
    try:
        with without_warnings():
            Image.init()
            return Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        raise EditRealError(
            f"expected a photo of at most {limit} pixels, but {path} is far larger; scale it down"
        ) from error
    except Exception as error:  # the decoders raise what they please on a damaged file
        raise EditRealError(
            f"cannot read {path} as a photo: it is damaged or in none of the formats {', '.join(_FORMATS)}"
        ) from error


def _from_array(array: np.ndarray, max_pixels: int) -> Photo:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise EditRealError(
            f"expected an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}; reorder its axes"
        )
    height, width = array.shape[:2]
    _check_pixels(width, height, max_pixels, "the array")
    levels = _to_levels(array, "the array").reshape(height, width, channels)
    image = Image.fromarray(np.ascontiguousarray(np.broadcast_to(levels[..., :3], (height, width, 3))))
    alpha = Image.fromarray(np.ascontiguousarray(levels[..., 3])) if channels == 4 else None
    return Photo(image, alpha)


def _from_image(source: Image.Image, path: Path | None, max_pixels: int, name: str) -> Photo:
    _check_pixels(*source.size, max_pixels, name)
    try:
        with without_warnings():
            loaded = source.copy()
            # After loading: Pillow's TIFF reader turns the pixels then, and drops the tag.
            exif = read_exif(source)
            image, alpha = _split(loaded, name)
    except EditRealError:
        raise
    except Exception as error:  # the decoders raise what they please on a damaged file
        raise EditRealError(
            f"cannot decode {name} ({error}); the file is damaged or cut short, get it again"
        ) from error
    if exif is None:
        warnings.warn(
            f"The EXIF data of {name} is damaged and is left out; the photo is taken as upright.", stacklevel=4
        )
        exif = Image.Exif()
    image = turn_upright(image, exif)
    alpha = alpha and turn_upright(alpha, exif)
    for plain in (image, alpha):
        if plain is not None:
            plain.info = {}
    return Photo(
        image=image,
        alpha=alpha,
        exif=upright_exif(exif, image.size),
        icc_profile=_rgb_profile(loaded),
        xmp=kept_of(packet_in(loaded.info)),
        comment=loaded.info.get("comment") if source.format in ("JPEG", "MPO") else None,
        dpi=_dpi_of(loaded),
        format=source.format,
        path=path,
    )


def _check_pixels(width: int, height: int, max_pixels: int, name: str) -> None:
    if width < 1 or height < 1:
        raise EditRealError(f"expected a photo with pixels, but {name} is {width}x{height}; pass one that is not empty")
    if width * height > max_pixels:
        raise EditRealError(
            f"expected a photo of at most {max_pixels} pixels, but {name} is {width}x{height}; "
            "scale it down or, in Python, hand over open_photo(..., max_pixels=...)"
        )


def _to_levels(values: np.ndarray, name: str) -> np.ndarray:
    """uint8 0..255, uint16 0..65535 or float 0..1, of any shape, to uint8 0..255, rounded."""
    if values.dtype == np.uint8:
        return values.copy()
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise EditRealError(f"expected float values in [0, 1], but {name} holds others; rescale it, or pass uint8")
        return np.rint(values.astype(np.float64) * 255).astype(np.uint8)
    raise EditRealError(f"expected uint8, uint16 or float values, but {name} holds {values.dtype}; convert it")


def _split(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """An image of any mode as RGB, and its transparency as L."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _split_deep_grey(image, name)
    if image.mode == "CMYK":
        return _cmyk_to_rgb(image), None
    if not image.has_transparency_data:
        return image.convert("RGB"), None
    if image.mode == "La":  # converts to nothing else
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    return rgba.convert("RGB"), rgba.getchannel("A")


def _split_deep_grey(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    values = np.asarray(image)
    if image.mode == "I":  # 32-bit integers, in which 16-bit files are read too
        if values.min() < 0 or values.max() > 65535:
            raise EditRealError(f"expected grey levels in 0..65535, but {name} holds others; save it with 16 bits")
        values = values.astype(np.uint16)
    key = image.info.get("transparency")
    alpha = None if key is None else Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
    return Image.fromarray(_to_levels(values, name)).convert("RGB"), alpha


def _cmyk_to_rgb(image: Image.Image) -> Image.Image:
    """Through the embedded profile to sRGB; by Pillow's plain formula where there is none that works."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _rgb_profile(image: Image.Image) -> bytes | None:
    """The embedded ICC profile, where it is one of RGB (its header says so) and so were the pixels, or grey."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or profile[16:20] != b"RGB " or image.mode in ("CMYK", "LAB"):
        return None
    return profile


def register_heif(what: str) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise EditRealError(
            f"{what} needs pillow-heif; `pip install pillow-heif`, or convert it to JPEG or PNG"
        ) from error
    pillow_heif.register_heif_opener()
