"""Photo to pixels and back: orientation, colour mode, profile, region and size."""

from __future__ import annotations

import hashlib
import io
import math
import operator
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms

from backbones.errors import EditRealError

PhotoSource = str | Path | Image.Image | np.ndarray

MAX_PIXELS = 50_000_000
"""Largest photo that is decoded unless told otherwise: a small file can claim a size that fills the memory."""

MIN_SIDE = 16
"""Smallest side in pixels of a photo, or of a region of it, that is worth editing."""

MAX_ASPECT = 4
"""Longest side over shortest side that the model is asked to work at."""

# Pillow opens more, and starts other programs for some of it (Ghostscript for EPS).
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "GIF", "BMP", "PPM", "JPEG2000")

_SAVE_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},  # exact: keep the colours below transparent pixels
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "HEIF": {"quality": 95, "chroma": 444},
}

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")

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


@dataclass(frozen=True)
class Photo:
    """An upright photo and what its file said about it.

    Attributes:
        image: RGB, 8 bits a channel, full size, with the EXIF orientation applied.
        alpha: L, the same size, where the photo had transparency.
        exif: What it says of the picture, the camera, the time and the place, with the orientation reset to 1. The
            embedded thumbnail is left out: it would show the unedited photo.
        icc_profile: Kept only where it describes the RGB pixels.
        format: Pillow's name of the format it came in.
        path: The absolute path it came from.
    """

    image: Image.Image
    alpha: Image.Image | None = None
    exif: bytes | None = None
    icc_profile: bytes | None = None
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


@dataclass(frozen=True)
class Geometry:
    """Which part of the photo the model sees, and at what size.

    Attributes:
        photo_size: `(width, height)` of the upright photo.
        box: `(left, top, right, bottom)` in upright photo pixels.
        working_size: `(height, width)` of the model's pixels.
    """

    photo_size: tuple[int, int]
    box: tuple[int, int, int, int]
    working_size: tuple[int, int]


def open_photo(source: PhotoSource, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo as upright 8-bit RGB. The source is never changed.

    Of an animation or a file of several images, the first is taken. 16-bit greys are scaled by 1/257 and rounded;
    16-bit colour files are reduced to 8 bits by Pillow's reader.

    Args:
        source: A path; an image in any of Pillow's modes, where I holds 0..65535 and F holds 0..1; or an array
            `(H, W)`, `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)`: uint8, uint16, or float in [0, 1].
        max_pixels: Larger photos are refused before they are decoded.

    Raises:
        EditRealError: It cannot be read as a photo, or is larger than `max_pixels`.

    Example:
        >>> photo = open_photo("rose.jpg")
        >>> photo.size
        (640, 427)
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        filename = getattr(source, "filename", None)
        path = Path(filename).absolute() if filename and isinstance(filename, str) else None
        return _from_image(source, path, max_pixels, "the image")
    if isinstance(source, (str, Path)):
        return _from_file(Path(source), max_pixels)
    raise EditRealError(f"expected a path, a PIL image or a NumPy array as the photo, got {type(source).__name__}")


def plan_geometry(
    photo_size: tuple[int, int],
    model_size: int,
    multiple: int,
    region: tuple[int, int, int, int] | None = None,
) -> Geometry:
    """Choose the model's working size for a photo, or for a region of it.

    Its sides are multiples of `multiple`, its area is near `model_size`² and its aspect nearly the photo's; the model
    sees the whole photo, stretched by the small rest, so that no seam is left where a crop would end. A square gives
    `model_size` x `model_size`.

    Args:
        photo_size: `(width, height)` of the upright photo.
        model_size: Side in pixels of the squares that the model was trained on, a multiple of `multiple`.
        multiple: What both working sides must be multiples of.
        region: `(left, top, right, bottom)` in upright photo pixels to work on instead of the whole photo.

    Raises:
        EditRealError: The region is not inside the photo, or what is left is too small or too long and thin.
    """
    if multiple < 1 or model_size < multiple or model_size % multiple:
        raise EditRealError(f"expected a model size that is a multiple of {multiple}, got {model_size}")
    left, top, right, bottom = (0, 0, *photo_size) if region is None else _check_region(region, photo_size)
    width, height = right - left, bottom - top
    what = "photo" if region is None else "region"
    if min(width, height) < MIN_SIDE:
        raise EditRealError(
            f"expected a {what} of at least {MIN_SIDE} pixels a side, got {width}x{height}; take a larger one"
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        remedy = "pass a region of it" if region is None else "pass a squarer one"
        raise EditRealError(
            f"expected a {what} between 1:{MAX_ASPECT} and {MAX_ASPECT}:1, got {width}x{height}; {remedy}"
        )
    return Geometry(
        photo_size=(photo_size[0], photo_size[1]),
        box=(left, top, right, bottom),
        working_size=_working_size(width / height, model_size, multiple),
    )


def to_pixels(photo: Photo, geometry: Geometry) -> torch.Tensor:
    """What the model sees of the photo: `(1, 3, H, W)` float32 in [-1, 1], resampled with an antialiased Lanczos.

    At the edges of the box the filter reaches a little beyond it, where the photo goes on.
    """
    if photo.size != geometry.photo_size:
        raise EditRealError(
            "expected the photo that the geometry was planned for, {}x{}, got one of {}x{}; plan its own".format(
                *geometry.photo_size, *photo.size
            )
        )
    height, width = geometry.working_size
    seen = photo.image.resize((width, height), Image.Resampling.LANCZOS, box=geometry.box)
    pixels = torch.from_numpy(np.array(seen)).permute(2, 0, 1).unsqueeze(0)
    return (pixels.to(torch.float32) / 127.5 - 1).contiguous()


def to_image(pixels: torch.Tensor) -> Image.Image:
    """Pixels `(1, 3, H, W)` in [-1, 1] to an RGB image; values beyond are clamped, levels rounded."""
    if pixels.ndim != 4 or pixels.shape[:2] != (1, 3):
        raise EditRealError(
            f"expected pixels of shape (1, 3, H, W), got {tuple(pixels.shape)}; pass one image at a time"
        )
    levels = (pixels.detach().cpu().float().clamp(-1, 1) + 1).mul(127.5).round().to(torch.uint8)
    return Image.fromarray(levels[0].permute(1, 2, 0).contiguous().numpy())


def to_unit(pixels: torch.Tensor) -> np.ndarray:
    """`(3, H, W)` in [-1, 1] to `(H, W, 3)` in [0, 1]."""
    return (pixels.permute(1, 2, 0).float().numpy() + 1) / 2


def with_alpha(image: Image.Image, photo: Photo) -> Image.Image:
    """An RGB image of the photo's size with the photo's transparency put back; as it is where there was none."""
    if photo.alpha is None:
        return image
    if image.size != photo.size:
        raise EditRealError(
            "expected an image of the photo's size, {}x{}, got {}x{}".format(*photo.size, *image.size)
            + "; resize it before its transparency is put back"
        )
    result = image.convert("RGB")
    result.putalpha(photo.alpha)
    return result


def save_photo(image: Image.Image, path: str | Path, like: Photo, *, overwrite: bool = False) -> None:
    """Write an edited photo with the EXIF and colour profile of the photo it came from, whole or not at all.

    The suffix chooses the format. PNG, WebP and TIFF are written without loss. JPEG and HEIC always lose a little,
    everywhere: pixels outside an edit's mask are bit-identical to the photo's in the lossless formats only.

    Args:
        image: RGB or RGBA. JPEG holds no transparency, so RGBA is put on white there, with a warning.
        path: Where to; the folder must exist.
        like: The photo that was edited.
        overwrite: Whether an existing file may be replaced, the photo's own included.

    Raises:
        EditRealError: The format is unknown, the file exists, or it cannot be written.
    """
    if image.mode not in ("RGB", "RGBA"):
        raise EditRealError(f"expected an RGB or RGBA image to save, got mode {image.mode}; convert it first")
    target = Path(path)
    check_target(target, like, overwrite=overwrite)
    pil_format = _save_format(target)
    options = dict(_SAVE_OPTIONS[pil_format])
    if like.exif is not None:
        options["exif"] = like.exif
        if pil_format == "TIFF":
            options["compression"] = None  # Pillow's compressor cannot write the directories within EXIF
    if like.icc_profile is not None:
        options["icc_profile"] = like.icc_profile
    plain = _on_white(image) if pil_format == "JPEG" and image.mode == "RGBA" else image.copy()
    plain.info = {}  # Pillow would write some of it beside what is asked for
    temporary = target.with_name(f".{uuid4().hex}.part")
    try:
        with temporary.open("xb") as file:
            plain.save(file, format=pil_format, **options)
        os.replace(temporary, target)
    except (OSError, ValueError, RuntimeError) as error:
        raise EditRealError(f"cannot write {target} as {pil_format} ({error}); try another folder, or PNG") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_target(target: Path, like: Photo, *, overwrite: bool, suffix: str | None = None) -> None:
    """Refuse a place to write to before any work is done.

    Args:
        target: Where something will be written.
        like: The photo that must not be lost.
        overwrite: Whether an existing file may be replaced, the photo's own included.
        suffix: The ending that the file must have; None takes those of the picture formats.

    Raises:
        EditRealError: The ending is wrong, the folder is missing, or the file exists.
    """
    if suffix is None:
        _save_format(target)
    elif target.suffix != suffix:
        got = target.name or target
        raise EditRealError(f"expected a file name that ends in {suffix}, got {got}; change its ending")
    try:
        if not target.parent.is_dir():
            raise EditRealError(f"expected an existing folder to save in, got {target.parent}; create it first")
        if target.is_dir():
            raise EditRealError(f"expected a file to save to, but {target} is a folder; choose another name")
        if overwrite or not (target.exists() or target.is_symlink()):
            return
        is_source = like.path is not None and like.path.exists() and target.exists() and target.samefile(like.path)
    except OSError as error:
        raise EditRealError(f"cannot write {target} ({error}); choose another name or folder") from error
    if is_source:
        raise EditRealError(
            f"{target} is the source photo itself; choose another name, or pass overwrite=True (--overwrite) to lose it"
        )
    raise EditRealError(
        f"{target} exists already; choose another name, or pass overwrite=True (--overwrite) to replace it"
    )


def write_picture(image: Image.Image, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a picture that is not the photo, such as a mask or a sheet; errors are those of `save_photo`."""
    rgb = image.convert("RGB")
    save_photo(rgb, path, Photo(rgb), overwrite=overwrite)


def _from_file(path: Path, max_pixels: int) -> Photo:
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no such file"
            raise EditRealError(f"expected a photo at {path}, found {found}; check the path")
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise EditRealError(f"cannot read {path} ({error}); check the path and its permissions") from error
    if not head:
        raise EditRealError(f"expected a photo at {path}, found an empty file; copy or download it again")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif(f"{path} is an HEIC photo, and reading it")
    try:
        with _quiet():
            Image.init()
            opened = Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        raise EditRealError(
            f"expected a photo of at most {limit} pixels, but {path} is far larger; scale it down"
        ) from error
    except Exception as error:  # the decoders raise what they please on a damaged file
        raise EditRealError(
            f"cannot read {path} as a photo: it is damaged or in none of the formats {', '.join(_FORMATS)}"
        ) from error
    with opened:
        return _from_image(opened, path.absolute(), max_pixels, str(path))


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
        with _quiet():
            loaded = source.copy()
            # After loading: Pillow's TIFF reader turns the pixels then, and drops the tag.
            exif = _read_exif(source)
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
    transpose = _TRANSPOSES.get(exif.get(ExifTags.Base.Orientation, 1))
    if transpose is not None:
        image = image.transpose(transpose)
        alpha = alpha and alpha.transpose(transpose)
    for plain in (image, alpha):
        if plain is not None:
            plain.info = {}
    return Photo(
        image=image,
        alpha=alpha,
        exif=_upright_exif(exif, image.size),
        icc_profile=_rgb_profile(loaded),
        format=source.format,
        path=path,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings: what matters of them is said in our own words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_pixels(width: int, height: int, max_pixels: int, name: str) -> None:
    if width < 1 or height < 1:
        raise EditRealError(f"expected a photo with pixels, but {name} is {width}x{height}; pass one that is not empty")
    if width * height > max_pixels:
        raise EditRealError(
            f"expected a photo of at most {max_pixels} pixels, but {name} is {width}x{height}; "
            "scale it down or pass a larger max_pixels"
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


def _read_exif(image: Image.Image) -> Image.Exif | None:
    """A copy of the image's EXIF, perhaps empty; None where it is damaged."""
    try:
        exif = Image.Exif()
        exif.load(image.info.get("exif") or b"")  # the JPEG reader keeps quiet about what raises here
        exif.load(image.getexif().tobytes())
        return exif
    except Exception:  # the parser raises what it pleases on damaged data
        return None


def _upright_exif(exif: Image.Exif, size: tuple[int, int]) -> bytes | None:
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


def _check_region(region: Sequence[int], photo_size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = photo_size
    try:
        left, top, right, bottom = (operator.index(side) for side in region)
    except (TypeError, ValueError) as error:
        raise EditRealError(
            f"expected a region as four whole numbers (left, top, right, bottom), got {region}"
        ) from error
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise EditRealError(
            f"expected a region (left, top, right, bottom) inside the photo of {width}x{height}, got {tuple(region)}; "
            "left must be below right and top below bottom"
        )
    return left, top, right, bottom


def _working_size(aspect: float, model_size: int, multiple: int) -> tuple[int, int]:
    """The `(height, width)` in multiples that stretches a photo of this aspect little, at an area near `model_size`².

    Both errors are counted as logarithms of ratios, that of the area a quarter.
    """

    def cost(size: tuple[int, int]) -> tuple[float, float]:
        height, width = size
        stretched = abs(math.log(width / height / aspect))
        return stretched + 0.25 * abs(math.log(width * height / model_size**2)), stretched

    sides = range(multiple, 2 * model_size + multiple, multiple)
    return min(((height, width) for height in sides for width in sides), key=cost)


def _register_heif(what: str) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise EditRealError(
            f"{what} needs pillow-heif; `pip install pillow-heif`, or convert it to JPEG or PNG"
        ) from error
    pillow_heif.register_heif_opener()


def _save_format(target: Path) -> str:
    pil_format = _SAVE_FORMATS.get(target.suffix.lower())
    if pil_format is None:
        expected = "expected a file name that ends in .jpg, .jpeg, .png, .webp, .tif, .tiff or, with pillow-heif, .heic"
        raise EditRealError(f"{expected}, got {target.name or target}; change its ending")
    if pil_format == "HEIF":
        _register_heif(f"writing {target}")
    return pil_format


def _on_white(image: Image.Image) -> Image.Image:
    alpha = image.getchannel("A")
    if alpha.getextrema() != (255, 255):
        warnings.warn("JPEG holds no transparency, so the image is put on white; save as PNG to keep it.", stacklevel=3)
    white = Image.new("RGB", image.size, "white")
    white.paste(image.convert("RGB"), mask=alpha)
    return white
