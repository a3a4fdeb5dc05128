"""The same photo through mask-based inpainting, which draws the masked part anew instead of editing it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image

from backbones.backbone import Backbone
from backbones.geometry import Geometry, plan_geometry
from backbones.inpainting import load_inpainting
from backbones.loading import ModelSource, load_backbone
from backbones.photo import Photo, PhotoSource, open_photo
from backbones.pixels import to_pixels, to_unit, unit_to_image, with_alpha
from backbones.saving import save_photo
from backbones.text import Caption, parse_caption
from editing.blended import inpaint_blended, latent_mask
from editing.checks import check_in_region
from editing.settings import InpaintSettings, with_options
from editing.verdict import measure_change, warn_of_captions
from inversion.progress import Callback, Progress, progress_of
from masks.composite import composite, enlarge_edit
from masks.refine import feather_inside
from masks.user_mask import MaskSource, read_mask

if TYPE_CHECKING:
    from diffusers import StableDiffusionInpaintPipeline


@dataclass(frozen=True, eq=False)
class InpaintResult:
    """An inpainted photo and how it came about.

    Attributes:
        image: The result at the photo's own size; outside the mask its pixels are the photo's.
        mask: Where it differs, L, the photo's size; 0 is untouched.
        drawn: What was drawn before anything was composited: for `blended` at the model's size.
        metrics: `mask_share` and `change_inside`, see `verdict.measure_change`.
        warnings: In plain words.
        settings: All that it was made with.
        photo: The photo.
    """

    image: Image.Image
    mask: Image.Image
    drawn: Image.Image
    metrics: dict[str, float]
    warnings: list[str]
    settings: dict[str, Any]
    photo: Photo

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the image, with the photo's EXIF and colour profile; see `saving.save_photo`."""
        save_photo(self.image, path, self.photo, overwrite=overwrite)


def inpaint_real(
    img: PhotoSource,
    caption: str,
    mask: MaskSource,
    *,
    method: str = "blended",
    model: ModelSource = "bundled",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    region: tuple[int, int, int, int] | None = None,
    progress: bool | Callback | Progress = False,
    **settings: Any,
) -> InpaintResult:
    """Draw the masked part of a photo anew; what the mask leaves black stays exactly as it was.

    Args:
        img: A path, a PIL image, an array `(H, W[, channels])`, or what `open_photo` gives. It is never modified.
        caption: What the result should show; `telea` knows no words and ignores it.
        mask: A picture of the photo's size: white is drawn anew.
        method: `blended` works with any model that edits do; `pipeline` needs one that was trained to inpaint;
            `telea` needs none.
        model: `bundled`, a folder in diffusers' layout, a `.safetensors` file, a Hugging Face hub id, or a pipeline of
            diffusers in memory; see `load_backbone`. `pipeline` takes a folder, a hub id, or a
            `StableDiffusionInpaintPipeline`.
        device: Where to compute; the best there is by default.
        dtype: Of the network.
        region: The part (left, top, right, bottom) of the upright photo to work on; all of it by default.
        progress: True shows a bar in a terminal; a function is called with `(step, latents)` after every step.
        **settings: Any other field of `InpaintSettings`: `steps`, `guidance_scale`, `seed`, `feather`, `radius`,
            `padding`.

    Raises:
        EditRealError: Anything that the user can put right, in one sentence.

    Example:
        >>> result = inpaint_real("rose.jpg", "a photo of a white rose", "mask.png", seed=1)
        >>> result.save("white rose.png")
    """
    choice = with_options(InpaintSettings(method=method), settings)
    photo = open_photo(img)
    chosen = read_mask(mask, photo.size)
    load = INPAINTINGS[choice.method].load
    loaded = load(model, device, dtype) if load else None
    return inpaint_photo(photo, caption, chosen, choice, loaded, region=region, progress=progress)


def inpaint_photo(
    photo: Photo,
    caption: str,
    mask: np.ndarray,
    settings: InpaintSettings,
    model: Backbone | StableDiffusionInpaintPipeline | None = None,
    *,
    region: tuple[int, int, int, int] | None = None,
    progress: bool | Callback | Progress = False,
) -> InpaintResult:
    """`inpaint_real` with everything loaded: the mask `(H, W)` bool, and the model that the method needs."""
    geometry = check_mask_in_region(mask, photo.size, region)
    pixels, inside = np.asarray(photo.image), geometry.paste(geometry.crop(mask), np.zeros_like(mask))
    part = geometry.crop(pixels)
    with progress_of(progress).phase("inpaint", settings.steps) as callback:
        drawn = INPAINTINGS[settings.method].draw(model, photo, caption, inside, geometry, settings, callback)
    # There is no reconstruction whose detail could be told from the drawing's, so the drawing itself is enlarged.
    feathered = feather_inside(inside, settings.feather * max(part.shape))
    shown = geometry.crop(feathered)
    draw = enlarge_edit(part, drawn, drawn, shown, keep_detail=False)
    result = geometry.paste(composite(part, draw, shown), pixels)
    captions = [] if model is None else [_parse(model, caption)]
    return InpaintResult(
        image=with_alpha(Image.fromarray(result), photo),
        mask=Image.fromarray(feathered),
        drawn=unit_to_image(drawn),
        metrics=measure_change(pixels, result, feathered),
        warnings=warn_of_captions(captions, getattr(model, "known_words", None)),
        settings={"caption": caption, "region": region, **dataclasses.asdict(settings)},
        photo=photo,
    )


def _parse(model: Any, caption: str) -> Caption:
    """The caption on the tokens that the model is told; a pipeline of diffusers has a tokenizer for it."""
    return model.parse(caption) if isinstance(model, Backbone) else parse_caption(model.tokenizer, caption)


def check_mask_in_region(
    mask: np.ndarray, photo_size: tuple[int, int], region: tuple[int, int, int, int] | None
) -> Geometry:
    """The part of the photo that is worked on, at no model's size; the mask must be white somewhere in it.

    Raises:
        EditRealError: The region does not fit the photo, or the mask `(H, W)` bool has no white pixel there.
    """
    geometry = plan_geometry(photo_size, 1, 1, region)
    check_in_region(mask, geometry)
    return geometry


def inpaint_telea(image: np.ndarray, mask: np.ndarray, radius: float) -> np.ndarray:
    """Fills the mask from its border by fast marching (Telea 2004): the floor that knows no words.

    Args:
        image: `(H, W, 3)` uint8.
        mask: `(H, W)` bool.
        radius: Pixels around each unknown one that are looked at.

    Returns:
        `(H, W, 3)` uint8.
    """
    return cv2.inpaint(np.ascontiguousarray(image), mask.astype(np.uint8) * 255, radius, cv2.INPAINT_TELEA)


def inpaint_pipeline(
    pipeline: StableDiffusionInpaintPipeline,
    image: Image.Image,
    mask: np.ndarray,
    caption: str,
    *,
    steps: int,
    guidance_scale: float,
    seed: int,
    padding: int,
    callback: Callback | None = None,
) -> Image.Image:
    """Fills the mask with a model trained to inpaint, at the full resolution of the crop around it.

    Args:
        pipeline: What `load_inpainting` returned.
        image: RGB.
        mask: `(H, W)` bool.
        caption: What the result should show.
        steps: Denoising steps.
        guidance_scale: How strongly the filling follows the caption.
        seed: Of the noise.
        padding: Pixels around the mask that the crop holds beside it.
        callback: Called after every step.

    Returns:
        RGB of the same size.
    """

    def told(_: object, step: int, timestep: object, tensors: dict[str, Any]) -> dict[str, Any]:
        if callback:
            callback(step, tensors["latents"])
        return {}

    filled: Image.Image = pipeline(
        prompt=caption,
        image=image,
        mask_image=Image.fromarray(mask.astype(np.uint8) * 255),
        padding_mask_crop=padding,
        strength=1.0,
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        generator=torch.Generator().manual_seed(seed),
        callback_on_step_end=told,
    ).images[0]
    return filled


def draw_blended(
    backbone: Backbone,
    photo: Photo,
    caption: str,
    mask: np.ndarray,
    geometry: Geometry,
    settings: InpaintSettings,
    callback: Callback,
) -> np.ndarray:
    """Blended latent diffusion (Avrahami et al., SIGGRAPH 2023), with any model that edits are made with.

    Gives `(h, w, 3)` in [0, 1] at the model's size; arguments as in `Inpainting`.
    """
    geometry = plan_geometry(photo.size, backbone.image_size, backbone.size_multiple, geometry.box)
    latents = backbone.encode(to_pixels(photo, geometry))
    cells = torch.from_numpy(latent_mask(geometry.crop(mask), *latents.shape[-2:])).to(latents.device)
    drawn = inpaint_blended(
        backbone,
        latents,
        caption,
        cells,
        steps=settings.steps,
        guidance_scale=backbone.guidance(settings.guidance_scale),
        seed=settings.seed,
        callback=callback,
    )
    return to_unit(backbone.decode(drawn)[0])


def draw_with_pipeline(
    pipeline: StableDiffusionInpaintPipeline,
    photo: Photo,
    caption: str,
    mask: np.ndarray,
    geometry: Geometry,
    settings: InpaintSettings,
    callback: Callback,
) -> np.ndarray:
    """A model trained to inpaint, at the full resolution of the crop around the mask.

    Gives `(h, w, 3)` in [0, 1] at the photo's size; arguments as in `Inpainting`.
    """
    from backbones.families.stable_diffusion import FAMILY

    filled = inpaint_pipeline(
        pipeline,
        photo.image,
        mask,
        caption,
        steps=settings.steps,
        guidance_scale=settings.guidance_scale or FAMILY.guidance_scale,
        seed=settings.seed,
        padding=settings.padding,
        callback=callback,
    )
    return geometry.crop(np.asarray(filled)).astype(np.float32) / 255


def draw_telea(
    model: None,
    photo: Photo,
    caption: str,
    mask: np.ndarray,
    geometry: Geometry,
    settings: InpaintSettings,
    callback: Callback,
) -> np.ndarray:
    """Fast marching from the mask's border (Telea 2004), without a model or words.

    Gives `(h, w, 3)` in [0, 1] at the photo's size; arguments as in `Inpainting`.
    """
    filled = inpaint_telea(np.asarray(photo.image), mask, settings.radius)
    return geometry.crop(filled).astype(np.float32) / 255


@dataclass(frozen=True)
class Inpainting:
    """A way to draw the region of a photo anew.

    Attributes:
        draw: Takes the model it needs, the photo, the caption, the mask (`(H, W)` bool at the photo's size, False
            outside the region), the geometry whose box is the region, the settings and a callback, and gives the
            region `(h, w, 3)` in [0, 1].
        label: What it is called in a comparison.
        load: `(model, device, dtype)` -> that model; None where it needs none.
    """

    draw: Callable[..., np.ndarray]
    label: str
    load: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", self.draw.__doc__)  # which the reference and `help` show


INPAINTINGS: dict[str, Inpainting] = {
    "blended": Inpainting(draw_blended, "blended inpainting", load_backbone),
    "telea": Inpainting(draw_telea, "Telea"),
    "pipeline": Inpainting(draw_with_pipeline, "inpainting model", load_inpainting),
}
