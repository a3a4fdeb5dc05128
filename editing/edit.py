"""Edit a photo by its caption: photo, latents, inversion, edit, mask, composite, result."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.latents import decode, encode
from backbones.loading import load_backbone
from backbones.photo import Geometry, Photo, PhotoSource, open_photo, plan_geometry, save_photo, to_pixels, with_alpha
from backbones.text import encode_captions, encode_prompt, parse_caption
from editing.align import align_captions, is_content
from editing.controls import plan_edit
from editing.region import EditRegion, find_region
from editing.sample import Sampled, sample_edits
from editing.settings import EditSettings, InversionSettings, split_settings
from editing.sheet import draw_sheet, format_metrics, overlay_heat, overlay_mask
from editing.verdict import measure, warn
from inversion.ddim import Callback, ddim_sample
from inversion.invert import invert
from inversion.schedule import make_schedule
from inversion.trajectory import Trajectory
from masks.aggregate import AttentionMaps, AttentionRecorder, normalize, record_maps, word_heat
from masks.composite import composite, enlarge_edit
from masks.local_blend import blend_latents
from masks.refine import feather_inside, refine_mask

MAP_STEPS = 10  # noise levels at which the photo's own attention is looked at


def edit_real(
    img: PhotoSource,
    caption: str,
    new_caption: str,
    *,
    model: str | Path = "bundled",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    region: tuple[int, int, int, int] | None = None,
    progress: bool = False,
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
        progress: Show bars in a terminal.
        **settings: Any field of `InversionSettings` or `EditSettings`: `inversion`, `steps`, `guidance_scale`,
            `cross_replace`, `self_replace`, `reweight`, `blend_words`, `protect_words`, `include_mask`,
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
    progress: bool = False,
    **settings: Any,
) -> EditResult:
    """Generate an image from a caption and a seed, and edit that: the same loop without an inversion.

    Args and errors are those of `edit_real`; the unedited image is `result.photo`.
    """
    inversion_settings, edit_settings = split_settings({"seed": seed, **settings})
    editor = Editor(load_backbone(model, device, dtype), progress=progress)
    trajectory, photo = editor.generate(caption, inversion_settings, seed=seed)
    return editor.edit(trajectory, new_caption, edit_settings, photo=photo)


@dataclass(frozen=True, eq=False)
class EditResult:
    """An edited photo and how it came about.

    Attributes:
        image: The edit at the photo's own size; outside the mask its pixels are the photo's.
        mask: Where it differs, L, the photo's size; 0 is untouched.
        reconstruction: What the model makes of the photo without an edit, at the model's size.
        heat_maps: Where the model sees each word of the caption, L, the photo's size.
        trajectory: The inversion, for further edits.
        metrics: See `verdict.measure`.
        warnings: In plain words.
        settings: All that the edit was made with.
        photo: The photo.
    """

    image: Image.Image
    mask: Image.Image
    reconstruction: Image.Image
    heat_maps: dict[str, Image.Image]
    trajectory: Trajectory
    metrics: dict[str, float]
    warnings: list[str]
    settings: dict[str, Any]
    photo: Photo

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the image, with the photo's EXIF and colour profile; see `photo.save_photo`."""
        save_photo(self.image, path, self.photo, overwrite=overwrite)

    def sheet(self) -> Image.Image:
        """One picture: photo, reconstruction, mask, edit, and the words' heat maps."""
        panels = [
            ("photo", self.photo.image),
            ("reconstruction", self.reconstruction.resize(self.photo.size, Image.Resampling.BICUBIC)),
            ("mask", overlay_mask(self.photo.image, self.mask)),
            ("edit", self.image),
            *((f"“{word}”", overlay_heat(self.photo.image, heat)) for word, heat in self.heat_maps.items()),
        ]
        title = f"{self.trajectory.caption}  →  {self.settings['new_caption']}"
        return draw_sheet(panels, title, [format_metrics(self.metrics), *self.warnings])


class Editor:
    """Repeated edits with one model; a photo is inverted once and edited often.

    Example:
        >>> editor = Editor(load_backbone("bundled"))
        >>> trajectory = editor.invert("rose.jpg", "a photo of a red rose")
        >>> white = editor.edit(trajectory, "a photo of a white rose")
        >>> tulip = editor.edit(trajectory, "a photo of a red tulip")
    """

    def __init__(self, backbone: Backbone, *, progress: bool = False) -> None:
        self.backbone, self.progress = backbone, progress
        self._photos: dict[str, Photo] = {}

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
        settings = _settings(InversionSettings, settings, options)
        photo = img if isinstance(img, Photo) else open_photo(img)
        geometry = plan_geometry(photo.size, self.backbone.image_size, self.backbone.size_multiple, region)
        latents = encode(self.backbone, to_pixels(photo, geometry))
        self._photos[photo.pixel_hash] = photo
        with self._bar("invert", settings.steps * (2 if settings.inversion == "null_text" else 1)) as callback:
            return invert(
                self.backbone,
                latents,
                caption,
                method=settings.inversion,
                steps=settings.steps,
                guidance_scale=settings.guidance_scale,
                max_inner_steps=settings.max_inner_steps,
                pixel_hash=photo.pixel_hash,
                geometry=_plain(geometry),
                callback=callback,
            )

    def generate(
        self, caption: str, settings: InversionSettings | None = None, *, seed: int = 0, **options: Any
    ) -> tuple[Trajectory, Photo]:
        """An image from a caption and a seed, with the trajectory that the sampler took to it."""
        settings = _settings(InversionSettings, settings, options)
        backbone, side = self.backbone, self.backbone.image_size // self.backbone.vae_factor
        schedule = make_schedule(backbone, settings.steps)
        shape = (1, int(backbone.unet.config.in_channels), side, side)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(backbone.device)
        embeds = encode_prompt(backbone, caption)
        uncond_embeds = encode_prompt(backbone, "").expand(settings.steps, -1, -1)
        with self._bar("generate", settings.steps) as callback:
            latents = ddim_sample(
                backbone, schedule, noise, embeds, uncond_embeds, settings.guidance_scale, callback=callback
            )
        photo = open_photo(_to_array(decode(backbone, latents[-1:])))
        self._photos[photo.pixel_hash] = photo
        trajectory = Trajectory(
            latents=latents,
            uncond_embeds=uncond_embeds,
            residuals=torch.zeros_like(latents[1:]),
            caption=caption,
            method="generated",
            steps=settings.steps,
            guidance_scale=settings.guidance_scale,
            pixel_hash=photo.pixel_hash,
            fingerprint=backbone.fingerprint,
            dtype=str(backbone.dtype).removeprefix("torch."),
            geometry=_plain(plan_geometry(photo.size, backbone.image_size, backbone.size_multiple)),
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
            photo: Only needed where this editor has not inverted it itself.
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
        trajectory = trajectory.to(backbone.device)
        source = parse_caption(backbone.tokenizer, trajectory.caption)
        targets = [parse_caption(backbone.tokenizer, text) for text in new_captions]
        shared = isinstance(settings, EditSettings) or settings is None
        each = [settings] * len(targets) if shared else list(settings)
        choices = [_settings(EditSettings, one, options) for one in each]
        if not targets or len(choices) != len(targets) or len({choice.exact for choice in choices}) > 1:
            raise EditRealError(
                f"expected new captions with one settings each (alike in 'exact'), got {len(targets)} and {len(choices)}"
            )
        alignments = [align_captions(source, target) for target in targets]
        regions = [find_region(a, c, photo.size) for a, c in zip(alignments, choices, strict=True)]
        plans = [
            plan_edit(
                alignment,
                trajectory.steps,
                cross_replace=choice.cross_replace,
                self_replace=choice.self_replace,
                weights=choice.reweight,
                carry_swaps=choice.control != "refine",
            )
            for alignment, choice in zip(alignments, choices, strict=True)
        ]
        source_embeds, target_embeds = encode_captions(backbone, [source, *targets]).split([1, len(targets)])
        maps = self.attention(trajectory)
        geometry = trajectory_geometry(trajectory)
        with self._bar("edit", trajectory.steps) as callback:
            sampled = sample_edits(
                backbone,
                trajectory,
                plans,
                source_embeds,
                target_embeds,
                blend=_local_blend(regions, maps, geometry, trajectory.steps),
                exact=choices[0].exact,
                callback=callback,
            )
        return [
            self._finish(trajectory, photo, geometry, maps, region, sampled, index, new_captions[index])
            for index, region in enumerate(regions)
        ]

    def attention(self, trajectory: Trajectory, levels: int = MAP_STEPS) -> AttentionMaps:
        """Where the model sees the caption's words in the photo itself, at `levels` noise levels of its trajectory."""
        trajectory = trajectory.to(self.backbone.device)
        schedule = make_schedule(self.backbone, trajectory.steps)
        steps = sorted({round(step) for step in np.linspace(0, trajectory.steps - 1, levels)})
        embeds = encode_prompt(self.backbone, trajectory.caption)
        return record_maps(self.backbone, trajectory.latents[steps], [schedule.timesteps[i] for i in steps], embeds)

    def _finish(
        self,
        trajectory: Trajectory,
        photo: Photo,
        geometry: Geometry,
        maps: AttentionMaps,
        region: EditRegion,
        sampled: Sampled,
        index: int,
        new_caption: str,
    ) -> EditResult:
        """Edited latents -> mask -> composite -> result."""
        backbone, count = self.backbone, len(sampled.latents)
        source, target = (parse_caption(backbone.tokenizer, text) for text in (trajectory.caption, new_caption))
        latents = torch.cat([trajectory.latents[-1:], sampled.source, sampled.latents[index : index + 1]])
        ceiling, reconstruction, edited = (_unit(pixels) for pixels in decode(backbone, latents))
        pixels = np.asarray(photo.image)
        left, top, right, bottom = geometry.box
        part = pixels[top:bottom, left:right]
        soft = region.soft_mask(maps, sampled.recorder.maps(row=1 + count + index), geometry).cpu().numpy()
        fine = refine_mask(soft if region.settings.local_blend else np.ones_like(soft), part, region.settings.refinement)
        if region.exclude is not None:
            fine &= ~region.exclude[top:bottom, left:right]
        mask = np.zeros(pixels.shape[:2], np.uint8)
        mask[top:bottom, left:right] = feather_inside(fine, region.settings.feather * max(part.shape[:2]))
        whole = pixels.astype(np.float32)
        whole[top:bottom, left:right] = enlarge_edit(
            part, reconstruction, edited, keep_detail=region.settings.keep_detail
        )
        result = composite(pixels, whole, mask)
        metrics = measure(
            working=_unit(to_pixels(photo, geometry)[0]),
            ceiling=ceiling,
            reconstruction=reconstruction,
            edited=edited,
            working_mask=refine_mask(soft, np.rint(ceiling * 255).astype(np.uint8), "plain"),
            photo=pixels,
            result=result,
            mask=mask,
        )
        return EditResult(
            image=with_alpha(Image.fromarray(result), photo),
            mask=Image.fromarray(mask),
            reconstruction=Image.fromarray(np.rint(reconstruction * 255).astype(np.uint8)),
            heat_maps={
                word.text: heat_image(maps, word.positions, photo, geometry)
                for word in source.words
                if is_content(word) and word.positions
            },
            trajectory=trajectory,
            metrics=metrics,
            warnings=warn(metrics, (source, target), backbone.known_words),
            settings={
                "caption": trajectory.caption,
                "new_caption": new_caption,
                "model": backbone.name,
                "inversion": trajectory.method,
                "steps": trajectory.steps,
                "guidance_scale": trajectory.guidance_scale,
                **{field.name: getattr(region.settings, field.name) for field in dataclasses.fields(region.settings)},
                "source_words": [word.text for word in region.source_words],
                "target_words": [word.text for word in region.target_words],
            },
            photo=photo,
        )

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

    def _bar(self, name: str, total: int) -> _Bar:
        return _Bar(name, total, self.progress)


class _Bar:
    """A progress bar as a callback, silent where it is not wanted or there is no terminal."""

    def __init__(self, name: str, total: int, wanted: bool) -> None:
        self._bar = tqdm(total=total, desc=name, disable=None if wanted else True, leave=False)

    def __enter__(self) -> Callback:
        return lambda step, latents: self._bar.update() and None

    def __exit__(self, *exception: object) -> None:
        self._bar.close()


def heat_image(
    maps: AttentionMaps, positions: Sequence[int], photo: Photo, geometry: Geometry, *, step: int | None = None
) -> Image.Image:
    """A word's heat map as a picture, L, of the photo's size; black outside what the model saw."""
    heat = normalize(word_heat(maps, positions, step=step)).cpu().numpy()
    left, top, right, bottom = geometry.box
    small = Image.fromarray(np.rint(heat * 255).astype(np.uint8))
    whole = Image.new("L", photo.size)
    whole.paste(small.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
    return whole


def _local_blend(regions: Sequence[EditRegion], maps: AttentionMaps, geometry: Geometry, steps: int) -> Any:
    """The local blend of a batch of edits, each with its own region and start."""

    def blend(latents: torch.Tensor, source: torch.Tensor, recorder: AttentionRecorder, step: int) -> torch.Tensor:
        blended = []
        for index, region in enumerate(regions):
            one = latents[index : index + 1]
            if region.settings.local_blend and step >= region.settings.blend_start * steps:
                target = recorder.maps(row=1 + len(regions) + index)
                one = blend_latents(one, source, region.soft_mask(maps, target, geometry))
            blended.append(one)
        return torch.cat(blended)

    return blend


def _settings(kind: Any, given: Any, options: dict[str, Any]) -> Any:
    """`given`, or the defaults, with `options` on top."""
    unknown = sorted(set(options) - {field.name for field in dataclasses.fields(kind)})
    if unknown:
        known = ", ".join(field.name for field in dataclasses.fields(kind))
        raise EditRealError(f"expected options among {known}, got {', '.join(unknown)}")
    return dataclasses.replace(given if given is not None else kind(), **options)


def _plain(geometry: Geometry) -> dict[str, Any]:
    return {name: list(value) for name, value in dataclasses.asdict(geometry).items()}


def trajectory_geometry(trajectory: Trajectory) -> Geometry:
    """Where in the photo the trajectory lies."""
    return Geometry(**{name: tuple(value) for name, value in trajectory.geometry.items()})


def _unit(pixels: torch.Tensor) -> np.ndarray:
    """`(3, h, w)` in [-1, 1] to `(h, w, 3)` in [0, 1]."""
    return (pixels.permute(1, 2, 0).float().numpy() + 1) / 2


def _to_array(pixels: torch.Tensor) -> np.ndarray:
    return np.rint(_unit(pixels[0]) * 255).astype(np.uint8)
