"""Edit a photo by its caption: photo, latents, inversion, edit, mask, composite, result."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.geometry import Geometry, plan_geometry
from backbones.latents import decode, encode
from backbones.loading import load_backbone
from backbones.photo import Photo, PhotoSource, open_photo
from backbones.pixels import to_pixels, to_unit, unit_to_image, with_alpha
from backbones.text import encode_captions, encode_prompt
from editing.align import Alignment, only_colors_change, reweighted_words
from editing.pictures.heat import heat_images
from editing.planned import PlannedEdit
from editing.progress import Progress
from editing.region import EditRegion
from editing.result import EditResult
from editing.sample import Blend, Sampled, sample_edits
from editing.settings import EditSettings, InversionSettings, split_settings, with_options
from editing.verdict import measure, warn
from inversion.ddim import Callback, ddim_sample
from inversion.invert import invert
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory
from masks.aggregate import AttentionMaps, AttentionRecorder, record_maps
from masks.composite import composite, enlarge_edit
from masks.local_blend import blend_latents
from masks.refine import feather_inside, refine_mask

MAP_STEPS = 10  # noise levels at which the photo's own attention is looked at
PHOTOS_KEPT = 4  # of those that an editor inverted, for edits that do not hand them over again


def edit_real(
    img: PhotoSource,
    caption: str,
    new_caption: str,
    *,
    model: str | Path = "bundled",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    region: tuple[int, int, int, int] | None = None,
    progress: bool | Callback = False,
    **settings: Any,
) -> EditResult:
    """Edit a photo by changing its caption; what the words do not change stays exactly as it was.

    Args:
        img: A path, a PIL image or an array `(H, W[, channels])`. It is never modified.
        caption: What the photo shows.
        new_caption: What it should show.
        model: `bundled`, a folder in diffusers' layout or a Hugging Face hub id.
        device: Where to compute; the best there is by default.
        dtype: Of the network.
        region: The part (left, top, right, bottom) of the upright photo to work on; all of it by default.
        progress: True shows bars in a terminal; a function is called with `(step, latents)` after every step.
        **settings: Any field of `InversionSettings` or `EditSettings`: `inversion`, `steps`, `guidance_scale`,
            `cross_replace`, `self_replace`, `emphasis`, `reweight`, `blend_words`, `protect_words`, `include_mask`,
            `exclude_mask`, `mask_threshold` and others.

    Raises:
        EditRealError: Anything that the user can put right, in one sentence.

    Example:
        >>> result = edit_real("rose.jpg", "a photo of a red rose", "a photo of a white rose")
        >>> result.save("white rose.png")
    """
    inversion_settings, edit_settings = split_settings(settings)
    editor = Editor(load_backbone(model, device, dtype), progress=progress)
    photo = open_photo(img)
    editor.check(caption, new_caption, photo.size, edit_settings)
    trajectory = editor.invert(photo, caption, inversion_settings, region=region)
    return editor.edit(trajectory, new_caption, edit_settings, photo=photo)


def edit_generated(
    caption: str,
    new_caption: str,
    *,
    seed: int = 0,
    model: str | Path = "bundled",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    progress: bool | Callback = False,
    **settings: Any,
) -> EditResult:
    """Generate an image from a caption and a seed, and edit that: the same loop without an inversion.

    Args and errors are those of `edit_real`; the unedited image is `result.photo`.
    """
    inversion_settings, edit_settings = split_settings(settings)
    editor = Editor(load_backbone(model, device, dtype), progress=progress)
    editor.check(caption, new_caption, (editor.backbone.image_size,) * 2, edit_settings)
    trajectory, photo = editor.generate(caption, inversion_settings, seed=seed)
    return editor.edit(trajectory, new_caption, edit_settings, photo=photo)


class Editor:
    """Repeated edits with one model; a photo is inverted once and edited often.

    Example:
        >>> editor = Editor(load_backbone("bundled"))
        >>> trajectory = editor.invert("rose.jpg", "a photo of a red rose")
        >>> white = editor.edit(trajectory, "a photo of a white rose")
        >>> tulip = editor.edit(trajectory, "a photo of a red tulip")
    """

    def __init__(self, backbone: Backbone, *, progress: bool | Callback = False) -> None:
        self.backbone, self.progress = backbone, progress
        self._photos: dict[str, Photo] = {}  # the last few, by their hash

    def check(
        self,
        caption: str,
        new_caption: str,
        photo_size: tuple[int, int],
        settings: EditSettings | None = None,
        **options: Any,
    ) -> None:
        """Refuses what `edit` would refuse, before any time is spent on an inversion.

        Args:
            caption: What the photo shows.
            new_caption: What it should show.
            photo_size: `(width, height)`, which masks must have.
            settings: Of the edit.
            **options: Instead of or on top of `settings`.

        Raises:
            EditRealError: A word that no caption holds, or a mask that cannot be used.
        """
        choice = with_options(settings or EditSettings(), options)
        PlannedEdit.of(self.backbone.tokenizer, caption, new_caption, choice, photo_size, steps=1)

    def invert(
        self,
        img: PhotoSource | Photo,
        caption: str,
        settings: InversionSettings | None = None,
        *,
        region: tuple[int, int, int, int] | None = None,
        **options: Any,
    ) -> Trajectory:
        """Photo -> latents -> trajectory. `options` are fields of `InversionSettings`."""
        settings = with_options(settings or InversionSettings(), options)
        photo = img if isinstance(img, Photo) else open_photo(img)
        geometry = plan_geometry(photo.size, self.backbone.image_size, self.backbone.size_multiple, region)
        latents = encode(self.backbone, to_pixels(photo, geometry))
        self._remember(photo)
        with self._bar("invert", settings.steps * (2 if settings.inversion == "null_text" else 1)) as callback:
            return invert(
                self.backbone,
                latents,
                caption,
                method=settings.inversion,
                steps=settings.steps,
                guidance_scale=settings.guidance_scale or self.backbone.guidance_scale,
                max_inner_steps=settings.max_inner_steps,
                null_text_start=settings.null_text_start,
                pixel_hash=photo.pixel_hash,
                geometry=_plain(geometry),
                callback=callback,
            )

    def generate(
        self, caption: str, settings: InversionSettings | None = None, *, seed: int = 0, **options: Any
    ) -> tuple[Trajectory, Photo]:
        """An image from a caption and a seed, with the trajectory that the sampler took to it."""
        settings = with_options(settings or InversionSettings(), options)
        backbone, side = self.backbone, self.backbone.image_size // self.backbone.vae_factor
        schedule = make_schedule(backbone, settings.steps)
        shape = (1, int(backbone.unet.config.in_channels), side, side)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(backbone.device)
        embeds = encode_prompt(backbone, caption)
        uncond_embeds = encode_prompt(backbone, "").expand(settings.steps, -1, -1)
        guidance_scale = settings.guidance_scale or backbone.guidance_scale
        with self._bar("generate", settings.steps) as callback:
            latents = ddim_sample(backbone, schedule, noise, embeds, uncond_embeds, guidance_scale, callback=callback)
        photo = open_photo(unit_to_image(to_unit(decode(backbone, latents[-1:])[0])))
        self._remember(photo)
        trajectory = Trajectory(
            latents=latents,
            uncond_embeds=uncond_embeds,
            residuals=torch.zeros_like(latents[1:]),
            caption=caption,
            method="generated",
            steps=settings.steps,
            guidance_scale=guidance_scale,
            pixel_hash=photo.pixel_hash,
            fingerprint=backbone.fingerprint,
            dtype=str(backbone.dtype).removeprefix("torch."),
            geometry=_plain(plan_geometry(photo.size, backbone.image_size, backbone.size_multiple)),
            seed=seed,
        )
        return trajectory, photo

    def edit(
        self,
        trajectory: Trajectory,
        new_caption: str,
        settings: EditSettings | None = None,
        *,
        photo: PhotoSource | Photo | None = None,
        **options: Any,
    ) -> EditResult:
        """One edit of an inverted photo. `options` are fields of `EditSettings`.

        Args:
            trajectory: From `invert`, `generate` or `Trajectory.load`.
            new_caption: What the photo should show.
            settings: Of the edit.
            photo: Only needed where it is not among the last few that this editor has inverted itself.
            **options: Instead of or on top of `settings`.
        """
        return self.edit_many(trajectory, [new_caption], settings, photo=photo, **options)[0]

    def edit_many(
        self,
        trajectory: Trajectory,
        new_captions: Sequence[str],
        settings: EditSettings | Sequence[EditSettings] | None = None,
        *,
        photo: PhotoSource | Photo | None = None,
        **options: Any,
    ) -> list[EditResult]:
        """Several edits of one inverted photo in one batch; `settings` are shared, or one for each caption."""
        backbone, photo = self.backbone, self._photo_of(trajectory, photo)
        trajectory, geometry = trajectory.to(backbone.device), trajectory_geometry(trajectory)
        choices = _one_each(settings, options, len(new_captions))
        planned = [
            PlannedEdit.of(backbone.tokenizer, trajectory.caption, text, choice, photo.size, trajectory.steps)
            for text, choice in zip(new_captions, choices, strict=True)
        ]
        regions = [one.region for one in planned]
        captions = [planned[0].alignment.source, *(one.alignment.target for one in planned)]
        source_embeds, target_embeds = encode_captions(backbone, captions).split([1, len(planned)])
        maps, part = self.attention(trajectory), geometry.crop(np.asarray(photo.image))
        cells = [region.covered_cells(maps, part, geometry, *trajectory.latents.shape[-2:]) for region in regions]
        with self._bar("edit", trajectory.steps) as callback:
            sampled = sample_edits(
                backbone,
                trajectory,
                [one.plan for one in planned],
                source_embeds,
                target_embeds,
                blend=_local_blend(regions, cells, maps, geometry, trajectory.steps),
                exact=choices[0].exact,
                callback=callback,
            )
        return [
            _finish(backbone, trajectory, photo, one, cells[index], maps, sampled, index)
            for index, one in enumerate(planned)
        ]

    def attention(self, trajectory: Trajectory, levels: int = MAP_STEPS) -> AttentionMaps:
        """Where the model sees the caption's words in the photo itself, at `levels` noise levels of its trajectory."""
        trajectory = trajectory.to(self.backbone.device)
        schedule = make_schedule(self.backbone, trajectory.steps)
        steps = self.levels(trajectory, levels)
        embeds = encode_prompt(self.backbone, trajectory.caption)
        return record_maps(self.backbone, trajectory.latents[steps], [schedule.timesteps[i] for i in steps], embeds)

    @staticmethod
    def levels(trajectory: Trajectory, levels: int = MAP_STEPS) -> list[int]:
        """The steps at which `attention` looks: `levels` of them, evenly spread, or all where there are fewer."""
        return sorted({round(step) for step in np.linspace(0, trajectory.steps - 1, levels)})

    def _photo_of(self, trajectory: Trajectory, photo: PhotoSource | Photo | None) -> Photo:
        trajectory.check_valid_for(
            fingerprint=self.backbone.fingerprint, dtype=str(self.backbone.dtype).removeprefix("torch.")
        )
        if photo is None:
            if trajectory.pixel_hash not in self._photos:
                raise EditRealError("expected the photo that was inverted, got none; pass it as photo=...")
            return self._photos[trajectory.pixel_hash]
        opened = photo if isinstance(photo, Photo) else open_photo(photo)
        trajectory.check_valid_for(pixel_hash=opened.pixel_hash)
        return opened

    def _remember(self, photo: Photo) -> None:
        self._photos.pop(photo.pixel_hash, None)
        self._photos[photo.pixel_hash] = photo
        if len(self._photos) > PHOTOS_KEPT:
            del self._photos[next(iter(self._photos))]

    def _bar(self, name: str, total: int) -> Progress:
        return Progress(name, total, self.progress)


def _finish(
    backbone: Backbone,
    trajectory: Trajectory,
    photo: Photo,
    planned: PlannedEdit,
    cells: torch.Tensor | None,
    maps: AttentionMaps,
    sampled: Sampled,
    index: int,
) -> EditResult:
    """Edited latents -> mask -> composite -> result, for the edit at `index` of the batch."""
    alignment, region = planned.alignment, planned.region
    geometry, settings = trajectory_geometry(trajectory), region.settings
    latents = torch.cat([trajectory.latents[-1:], sampled.source, sampled.latents[index : index + 1]])
    ceiling, reconstruction, edited = (to_unit(pixels) for pixels in decode(backbone, latents))
    soft = region.soft_mask(maps, sampled.target_maps(index), geometry)
    pixels = np.asarray(photo.image)
    part = geometry.crop(pixels)
    texture = _texture(alignment, settings)
    enlarged = enlarge_edit(part, reconstruction, edited, keep_detail=settings.keep_detail, texture=texture)
    mask = _feathered_mask(soft, part, region, geometry)
    result = geometry.paste(composite(part, enlarged, geometry.crop(mask)), pixels)
    metrics = measure(
        working=to_unit(to_pixels(photo, geometry)[0]),
        ceiling=ceiling,
        reconstruction=reconstruction,
        edited=edited,
        working_mask=_working_mask(soft, cells, ceiling),
        photo=pixels,
        result=result,
        mask=mask,
    )
    source, target = alignment.source, alignment.target
    return EditResult(
        image=with_alpha(Image.fromarray(result), photo),
        mask=Image.fromarray(mask),
        reconstruction=unit_to_image(reconstruction),
        drawn=unit_to_image(edited),
        heat_maps=heat_images(maps, source, photo, geometry),
        trajectory=trajectory,
        metrics=metrics,
        warnings=warn(
            metrics,
            alignment,
            backbone.known_words,
            local_blend=settings.local_blend,
            reweighted=bool(settings.reweight),
        ),
        settings={
            "caption": source.text,
            "new_caption": target.text,
            "model": backbone.name,
            "inversion": trajectory.method,
            "steps": trajectory.steps,
            "guidance_scale": trajectory.guidance_scale,
            "inner_steps": trajectory.inner_steps,
            "null_text_start": trajectory.null_text_start,
            "seed": trajectory.seed,
            **{field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)},
            "texture": texture,
            "source_words": [word.text for word in region.source_words],
            "target_words": [word.text for word in region.target_words],
        },
        photo=photo,
    )


def _feathered_mask(soft: torch.Tensor, part: np.ndarray, region: EditRegion, geometry: Geometry) -> np.ndarray:
    """The soft mask at the photo's resolution, feathered, `(H, W)` uint8 of the photo; what the user excludes is 0."""
    fine = region.fine_mask(soft, part, geometry)
    whole = geometry.paste(fine, np.zeros(geometry.photo_size[::-1], bool))
    return feather_inside(whole, region.settings.feather * max(fine.shape))


def _texture(alignment: Alignment, settings: EditSettings) -> float:
    """The setting, or what suits the edit: a colour leaves the texture as it was, a new thing has its own."""
    if settings.texture is not None:
        return settings.texture
    return float(only_colors_change(alignment, reweighted_words(alignment, settings.reweight)))


def _working_mask(soft: torch.Tensor, cells: torch.Tensor | None, working: np.ndarray) -> np.ndarray:
    """Where the mask or the local blend's cells are, at the size of the model's `working` in [0, 1], `(h, w)` bool."""
    mask = refine_mask(soft.cpu().numpy(), np.rint(working * 255).astype(np.uint8), "plain")
    if cells is None:
        return mask
    return mask | (cv2.resize(cells.cpu().numpy().astype(np.uint8), mask.shape[::-1]) > 0)


def _local_blend(
    regions: Sequence[EditRegion],
    cells: Sequence[torch.Tensor | None],
    maps: AttentionMaps,
    geometry: Geometry,
    steps: int,
) -> Blend:
    """The local blend of a batch of edits, each with its own region, latent cells and start."""

    def blend(latents: torch.Tensor, source: torch.Tensor, recorder: AttentionRecorder, step: int) -> torch.Tensor:
        blended = []
        for index, region in enumerate(regions):
            one = latents[index : index + 1]
            if region.settings.local_blend and step >= region.settings.blend_start * steps:
                target = recorder.maps(row=1 + len(regions) + index)
                one = blend_latents(one, source, region.soft_mask(maps, target, geometry), cells[index])
            blended.append(one)
        return torch.cat(blended)

    return blend


def _one_each(
    settings: EditSettings | Sequence[EditSettings] | None, options: dict[str, Any], count: int
) -> list[EditSettings]:
    """Settings for each of `count` edits, from shared ones or one each."""
    if settings is None or isinstance(settings, EditSettings):
        choices = [with_options(settings or EditSettings(), options)] * count
    else:
        choices = [with_options(one, options) for one in settings]
    if count < 1 or len(choices) != count:
        raise EditRealError(f"expected one settings for each new caption, got {len(choices)} for {count} captions")
    if len({choice.exact for choice in choices}) > 1:
        raise EditRealError("expected edits of one batch to be alike in 'exact', got both; edit them one by one")
    return choices


def _plain(geometry: Geometry) -> dict[str, Any]:
    return {name: list(value) for name, value in dataclasses.asdict(geometry).items()}


def trajectory_geometry(trajectory: Trajectory) -> Geometry:
    """Where in the photo the trajectory lies."""
    return Geometry(**{name: tuple(value) for name, value in trajectory.geometry.items()})
