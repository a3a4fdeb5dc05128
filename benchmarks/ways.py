"""The ways to make an edit that the speed benchmark times: the published code, and ours with some settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import nn

from backbones.geometry import Geometry
from backbones.loading import default_dtype
from backbones.photo import Photo
from backbones.pixels import to_unit
from backbones.view import look_at
from benchmarks import baseline
from benchmarks.baseline import Plain, Published
from editing.align import align_captions
from editing.editor import Editor
from editing.settings import InversionSettings


@dataclass(frozen=True, eq=False)
class Drawn:
    """An edit as the model drew it, `(h, w, 3)` uint8, and where, `(h, w)` bool, at the size of what it saw."""

    image: np.ndarray
    mask: np.ndarray
    geometry: Geometry


class Way(Protocol):
    """One way to make edits: a photo is inverted once, and then edited."""

    @property
    def denoisers(self) -> Sequence[nn.Module]:
        """The networks whose rows are counted."""
        ...

    def invert(self, photo: Photo, caption: str) -> Any: ...

    def edit(self, inverted: Any, new_captions: Sequence[str]) -> list[Drawn]: ...


@dataclass(eq=False)
class PublishedWay:
    """Null-text and prompt-to-prompt as published, see `baseline`; a photo's edits are made one after another."""

    editor: Editor
    steps: int
    frozen: bool = False

    def __post_init__(self) -> None:
        backbone = self.editor.backbone
        dtype = default_dtype(backbone.device) if self.frozen else torch.float32
        self._plain = Plain(backbone, self.steps, self.frozen, dtype, Published())

    @property
    def denoisers(self) -> Sequence[nn.Module]:
        return (self._plain.unet,)

    def invert(self, photo: Photo, caption: str) -> Any:
        view = look_at(self.editor.backbone, photo, None)
        pivots = baseline.invert(self._plain, view.latents, caption)
        return view.geometry, caption, pivots[:1], baseline.null_text(self._plain, pivots, caption)

    def edit(self, inverted: Any, new_captions: Sequence[str]) -> list[Drawn]:
        return [self._edit(*inverted, new) for new in new_captions]

    def _edit(
        self, geometry: Geometry, caption: str, noise: torch.Tensor, uncond: torch.Tensor, new_caption: str
    ) -> Drawn:
        backbone = self.editor.backbone
        alignment = align_captions(backbone.parse(caption), backbone.parse(new_caption))
        latents, mask = baseline.edit_with_mask(self._plain, noise, uncond, alignment)
        image = np.rint(to_unit(backbone.decode(latents[1:])[0]) * 255).astype(np.uint8)
        cells = mask[0, 0].cpu().numpy().astype(np.uint8)
        mask = cv2.resize(cells, image.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
        return Drawn(image, mask, geometry)


@dataclass(eq=False)
class OurWay:
    """Ours, from the photo to the composite at its own size."""

    editor: Editor
    inversion: dict[str, Any] = field(default_factory=dict)
    edits: dict[str, Any] = field(default_factory=dict)

    @property
    def denoisers(self) -> Sequence[nn.Module]:
        return (self.editor.backbone.denoiser,)

    def invert(self, photo: Photo, caption: str) -> Any:
        return self.editor.invert(photo, caption, InversionSettings(**self.inversion))

    def edit(self, inverted: Any, new_captions: Sequence[str]) -> list[Drawn]:
        results = self.editor.edit_many(inverted, new_captions, **self.edits)
        found = []
        for result in results:
            image, geometry = np.asarray(result.drawn), result.trajectory.geometry
            mask = (
                cv2.resize(geometry.crop(np.asarray(result.mask)), image.shape[1::-1], interpolation=cv2.INTER_AREA)
                > 127
            )
            found.append(Drawn(image, mask, geometry))
        return found
