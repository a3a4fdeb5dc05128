"""The same photo through mask-based inpainting, which draws the masked part anew instead of editing it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.geometry import plan_geometry
from backbones.latents import decode, encode
from backbones.loading import (
    STABLE_DIFFUSION_GUIDANCE,
    default_dtype,
    find_device,
    find_folder,
    load_backbone,
    read_json,
)
from backbones.photo import Photo, PhotoSource, open_photo
from backbones.pixels import to_pixels, to_unit, with_alpha
from backbones.saving import save_photo
from backbones.text import encode_prompt, parse_caption
from editing.progress import Progress
from editing.settings import InpaintSettings, with_options
from editing.verdict import measure_change, warn_of_captions
from inversion.ddim import Callback
from inversion.guidance import guide
from inversion.schedule import make_schedule
from inversion.steps import ddim_step
from masks.composite import composite_part, enlarge_edit
from masks.local_blend import blend_latents
from masks.refine import feather_part
from masks.user_mask import MaskSource, read_mask

if TYPE_CHECKING:
    from diffusers import StableDiffusionInpaintPipeline

CHANNELS = 9  # of an inpainting UNet: noisy latents, mask, and the masked photo's latents


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
        """Write the image, with the photo's EXIF and colour profile; see `photo.save_photo`."""
        save_photo(self.image, path, self.photo, overwrite=overwrite)


def inpaint_real(
    img: PhotoSource,
    caption: str,
    mask: MaskSource,
    *,
    method: str = "blended",
    model: str | Path = "bundled",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    region: tuple[int, int, int, int] | None = None,
    progress: bool | Callback = False,
    **settings: Any,
) -> InpaintResult:
    """Draw the masked part of a photo anew; what the mask leaves black stays exactly as it was.

    Args:
        img: A path, a PIL image or an array `(H, W[, channels])`. It is never modified.
        caption: What the result should show; `telea` knows no words and ignores it.
        mask: A picture of the photo's size: white is drawn anew.
        method: `blended` works with any model that edits do; `pipeline` needs one that was trained to inpaint;
            `telea` needs none.
        model: `bundled`, a folder in diffusers' layout or a Hugging Face hub id.
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
    loaded: Backbone | StableDiffusionInpaintPipeline | None = None
    if method == "blended":
        loaded = load_backbone(model, device, dtype)
    elif method == "pipeline":
        loaded = load_inpainting(model, device, dtype)
    return inpaint_photo(photo, caption, chosen, choice, loaded, region=region, progress=progress)


def inpaint_photo(
    photo: Photo,
    caption: str,
    mask: np.ndarray,
    settings: InpaintSettings,
    model: Backbone | StableDiffusionInpaintPipeline | None = None,
    *,
    region: tuple[int, int, int, int] | None = None,
    progress: bool | Callback = False,
) -> InpaintResult:
    """`inpaint_real` with everything loaded: the mask `(H, W)` bool, and the model that the method needs."""
    pixels = np.asarray(photo.image)
    left, top, right, bottom = box = check_mask_in_region(mask, photo.size, region)
    inside = np.zeros_like(mask)
    inside[top:bottom, left:right] = part_mask = mask[top:bottom, left:right]
    with Progress("inpaint", settings.steps, progress) as callback:
        if settings.method == "blended":
            assert isinstance(model, Backbone)
            drawn = _draw_blended(model, photo, caption, inside, settings, region, callback)
        else:
            assert not isinstance(model, Backbone)
            drawn = _draw_full_size(model, pixels, caption, inside, settings, callback)[top:bottom, left:right]
    # There is no reconstruction whose detail could be told from the drawing's, so the drawing itself is enlarged.
    enlarged = enlarge_edit(pixels[top:bottom, left:right], drawn, drawn, keep_detail=False)
    feathered = feather_part(part_mask, box, mask.shape, settings.feather * max(part_mask.shape))
    result, fine_mask = composite_part(pixels, box, enlarged, feathered)
    captions = [] if model is None else [parse_caption(model.tokenizer, caption)]
    return InpaintResult(
        image=with_alpha(Image.fromarray(result), photo),
        mask=Image.fromarray(fine_mask),
        drawn=Image.fromarray(np.rint(drawn * 255).astype(np.uint8)),
        metrics=measure_change(pixels, result, fine_mask),
        warnings=warn_of_captions(captions, getattr(model, "known_words", None)),
        settings={"caption": caption, "region": region, **dataclasses.asdict(settings)},
        photo=photo,
    )


def check_mask_in_region(
    mask: np.ndarray, photo_size: tuple[int, int], region: tuple[int, int, int, int] | None
) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) of the photo that is worked on, of which the mask must hold a part.

    Raises:
        EditRealError: The region does not fit the photo, or the mask `(H, W)` bool has no white pixel there.
    """
    # Only the box is asked for, which no working size changes.
    left, top, right, bottom = box = plan_geometry(photo_size, 1, 1, region).box
    if not mask[top:bottom, left:right].any():
        raise EditRealError(f"expected a mask with white pixels in the region {box}, got none there; move one of them")
    return box


@torch.no_grad()
def inpaint_blended(
    backbone: Backbone,
    latents: torch.Tensor,
    caption: str,
    mask: torch.Tensor,
    *,
    steps: int = 50,
    guidance_scale: float = STABLE_DIFFUSION_GUIDANCE,
    seed: int = 0,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Blended latent diffusion with the DDIM sampler (Avrahami et al., SIGGRAPH 2023, algorithm 1).

    After every step `z = m z_fg + (1 - m) z_bg`, where `z_fg` was denoised towards the caption and `z_bg` is the
    photo with fresh noise of that level; at the end `z_bg` is the photo.

    Args:
        backbone: The model.
        latents: The photo's, `(1, C, h, w)`.
        caption: What the result should show.
        mask: What is drawn anew, `(h, w)` bool, such as `latent_mask` gives.
        steps: Of the schedule.
        guidance_scale: How strongly the drawing follows the caption.
        seed: Of all noise.
        callback: Called after every step.

    Returns:
        `(1, C, h, w)`.
    """
    schedule, generator = make_schedule(backbone, steps), torch.Generator().manual_seed(seed)
    prompt_embeds = torch.cat([encode_prompt(backbone, ""), encode_prompt(backbone, caption)])
    drawn = torch.randn(latents.shape, generator=generator).to(latents)
    for i, timestep in enumerate(schedule.timesteps):
        alpha_prod_t, alpha_prod_t_prev = schedule.alpha_prods[i : i + 2]
        noise_pred = backbone.noise_pred(drawn.expand(2, -1, -1, -1), timestep, prompt_embeds)
        noise_pred_uncond, noise_pred_cond = noise_pred.chunk(2)
        guided = guide(noise_pred_uncond, noise_pred_cond, guidance_scale)
        drawn = ddim_step(drawn, guided, alpha_prod_t, alpha_prod_t_prev)
        known = latents
        if i + 1 < steps:
            noise = torch.randn(latents.shape, generator=generator).to(latents)
            known = alpha_prod_t_prev**0.5 * latents + (1 - alpha_prod_t_prev) ** 0.5 * noise
        drawn = blend_latents(drawn, known, mask.float())
        if callback:
            callback(i, drawn)
    return drawn


def latent_mask(mask: np.ndarray, box: tuple[int, int, int, int], height: int, width: int) -> np.ndarray:
    """The cells of a `height` x `width` grid over `box` that hold any pixel of the mask `(H, W)`, bool."""
    left, top, right, bottom = box
    cells = mask[top:bottom, left:right]
    for axis, count in ((0, height), (1, width)):
        size = cells.shape[axis]
        spans = [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        cells = np.stack([np.take(cells, range(span.start, span.stop), axis).any(axis) for span in spans], axis)
    return cells


def inpaint_telea(image: np.ndarray, mask: np.ndarray, radius: float = 5.0) -> np.ndarray:
    """Fills the mask from its border by fast marching (Telea 2004): the floor that knows no words.

    Args:
        image: `(H, W, 3)` uint8.
        mask: `(H, W)` bool.
        radius: Pixels around each unknown one that are looked at.

    Returns:
        `(H, W, 3)` uint8.
    """
    return cv2.inpaint(np.ascontiguousarray(image), mask.astype(np.uint8) * 255, radius, cv2.INPAINT_TELEA)


def load_inpainting(
    model: str | Path, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> StableDiffusionInpaintPipeline:
    """Load a Stable Diffusion model that was trained to inpaint, in safetensors.

    Args:
        model: A folder in diffusers' layout, or the id of a model on the Hugging Face hub.
        device: As in `load_backbone`.
        dtype: Of all networks, the autoencoder among them, since diffusers' pipeline knows a single one.

    Raises:
        EditRealError: The model cannot be found, reached or read, or is no inpainting model.
    """
    folder = find_folder(str(model))
    if not (folder / "model_index.json").is_file():
        raise EditRealError(f"expected a diffusers pipeline folder at {folder}, got one without model_index.json")
    channels = read_json(folder / "unet" / "config.json").get("in_channels")
    if channels != CHANNELS:
        raise EditRealError(
            f"expected an inpainting model, whose UNet takes {CHANNELS} channels, got one that takes {channels} at "
            f"{folder}; pass the folder or hub id of one, or choose the method 'blended'"
        )
    device = find_device(device)
    from diffusers import StableDiffusionInpaintPipeline  # brings much that nothing else here needs

    try:
        pipeline = StableDiffusionInpaintPipeline.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EditRealError(
            f"expected a readable inpainting pipeline in safetensors at {folder}, got: {reason}"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device, dtype or default_dtype(device))


def inpaint_pipeline(
    model: str | Path | StableDiffusionInpaintPipeline,
    image: Image.Image,
    mask: np.ndarray,
    caption: str,
    *,
    steps: int = 50,
    guidance_scale: float = STABLE_DIFFUSION_GUIDANCE,
    seed: int = 0,
    padding: int = 32,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    callback: Callback | None = None,
) -> Image.Image:
    """Fills the mask with a model trained to inpaint, at the full resolution of the crop around it.

    Args:
        model: A folder in diffusers' layout, a hub id, or what `load_inpainting` returned.
        image: RGB.
        mask: `(H, W)` bool.
        caption: What the result should show.
        steps: Denoising steps.
        guidance_scale: How strongly the filling follows the caption.
        seed: Of the noise.
        padding: Pixels around the mask that the crop holds beside it.
        device: As in `load_backbone`, where a model is loaded.
        dtype: The same.
        callback: Called after every step.

    Returns:
        RGB of the same size.

    Raises:
        EditRealError: The model cannot be loaded, or is no inpainting model.
    """
    if isinstance(model, str | Path):
        model = load_inpainting(model, device, dtype)

    def told(_: object, step: int, timestep: object, tensors: dict[str, Any]) -> dict[str, Any]:
        if callback:
            callback(step, tensors["latents"])
        return {}

    filled: Image.Image = model(
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


def _draw_blended(
    backbone: Backbone,
    photo: Photo,
    caption: str,
    mask: np.ndarray,
    settings: InpaintSettings,
    region: tuple[int, int, int, int] | None,
    callback: Callback,
) -> np.ndarray:
    """The region at the model's size, `(h, w, 3)` in [0, 1]."""
    geometry = plan_geometry(photo.size, backbone.image_size, backbone.size_multiple, region)
    latents = encode(backbone, to_pixels(photo, geometry))
    grown = torch.from_numpy(latent_mask(mask, geometry.box, *latents.shape[-2:])).to(latents.device)
    drawn = inpaint_blended(
        backbone,
        latents,
        caption,
        grown,
        steps=settings.steps,
        guidance_scale=settings.guidance_scale or backbone.guidance_scale,
        seed=settings.seed,
        callback=callback,
    )
    return to_unit(decode(backbone, drawn)[0])


def _draw_full_size(
    pipeline: StableDiffusionInpaintPipeline | None,
    pixels: np.ndarray,
    caption: str,
    mask: np.ndarray,
    settings: InpaintSettings,
    callback: Callback,
) -> np.ndarray:
    """The whole photo as the pipeline, or Telea without one, fills it, `(H, W, 3)` in [0, 1]."""
    if pipeline is None:
        filled = inpaint_telea(pixels, mask, settings.radius)
    else:
        image = inpaint_pipeline(
            pipeline,
            Image.fromarray(pixels),
            mask,
            caption,
            steps=settings.steps,
            guidance_scale=settings.guidance_scale or STABLE_DIFFUSION_GUIDANCE,
            seed=settings.seed,
            padding=settings.padding,
            callback=callback,
        )
        filled = np.asarray(image)
    return filled.astype(np.float32) / 255
