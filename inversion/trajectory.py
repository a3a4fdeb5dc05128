"""A photo's way to noise as plain data, with what it is valid for."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from backbones.condition import Condition
from backbones.errors import EditRealError
from backbones.geometry import Geometry
from backbones.precision import on_device
from backbones.saving import written_whole
from inversion.settings import InversionSettings

FORMAT = "edit-real trajectory 2"
FIRST_FORMAT = "edit-real trajectory 1"
GENERATED = "generated"  # the method of an image that was not inverted
_TENSORS = ("latents", "uncond", "arrived", "kept")
_KEPT = "kept."  # what the names of further tensors begin with in a file
_ANOTHER = {
    "pixel_hash": "another photo",
    "fingerprint": "another model, or other weights",
}  # whose hashes would tell nobody anything
_CONDITION = [one.name for one in dataclasses.fields(Condition)]


@dataclass(frozen=True, eq=False)
class Inverted:
    """What a method of inversion gives.

    Attributes:
        latents: The latents of every level, `(steps + 1, C, h, w)`, from noise to photo.
        uncond: The unconditional condition of every step, `steps` rows.
        arrived: Where guided sampling with the caption ends on its own, `(1, C, h, w)`; None where that is not known.
        report: What the method has to tell of itself, as plain numbers, texts and lists.
        kept: Further tensors that the method's walk needs, by name, such as a noise for each step.
        source_guidance: That sampling the source needs; None is the edit's.
    """

    latents: torch.Tensor
    uncond: Condition
    arrived: torch.Tensor | None = None
    report: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, torch.Tensor] = field(default_factory=dict)
    source_guidance: float | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """The latents of every step of one photo, and what guided sampling needs to follow them.

    Attributes:
        latents: `(steps + 1, C, h, w)` float32, from noise (index 0) to photo (the last).
        uncond: The unconditional condition of every step, `steps` rows.
        arrived: Where guided sampling with the caption ends on its own, `(1, C, h, w)`; None where that is not known.
        caption: What the photo shows.
        method: A key of `invert.METHODS`, or `GENERATED`.
        steps: Number of transitions.
        guidance_scale: That `uncond` serves.
        pixel_hash: Of the photo, or of the generated image.
        fingerprint: Of the model.
        dtype: Of the network, such as `float32`.
        geometry: Which part of the photo the model saw, and at what size.
        report: What the method has to tell of itself, such as null-text's updates; the seed of a generated image.
        kept: Further tensors that the method's walk needs, by name.
        first: The step that sampling begins with; those before it are left out.
        source_guidance: That sampling the source needs; None is `guidance_scale`.
        asked: The settings of the inversion that were not at their defaults; None in files of before they were noted.
    """

    latents: torch.Tensor
    uncond: Condition
    arrived: torch.Tensor | None
    caption: str
    method: str
    steps: int
    guidance_scale: float
    pixel_hash: str
    fingerprint: str
    dtype: str
    geometry: Geometry
    report: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, torch.Tensor] = field(default_factory=dict)
    first: int = 0
    source_guidance: float | None = None
    asked: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<Trajectory of {self.caption!r} by {self.method} in {self.steps} steps>"

    @property
    def sampled(self) -> range:
        """The steps that sampling takes, up to the last."""
        return range(self.first, self.steps)

    @property
    def guidance_of_source(self) -> float:
        """That sampling the source needs."""
        return self.guidance_scale if self.source_guidance is None else self.source_guidance

    def to(self, device: torch.device | str) -> Trajectory:
        """The same trajectory with its tensors on `device`, in float32 where that has no float64."""
        arrived = None if self.arrived is None else self.arrived.to(device)
        kept = {name: on_device(tensor, torch.device(device)) for name, tensor in self.kept.items()}
        return dataclasses.replace(
            self, latents=self.latents.to(device), uncond=self.uncond.to(device), arrived=arrived, kept=kept
        )

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file, whole or not at all.

        Raises:
            EditRealError: The folder is missing, or the file cannot be written.
        """
        tensors = {"latents": self.latents, "arrived": self.arrived}
        tensors |= {f"uncond.{name}": getattr(self.uncond, name) for name in _CONDITION}
        tensors |= {f"{_KEPT}{name}": tensor for name, tensor in self.kept.items()}
        plain = {
            name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items() if tensor is not None
        }
        told = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        fields = {name: value for name, value in told.items() if name not in _TENSORS}
        fields["geometry"] = dataclasses.asdict(self.geometry)
        with written_whole(path) as draft:  # safetensors' own writer would make a file that nobody else can read
            draft.write_bytes(save(plain, {"format": FORMAT, "fields": json.dumps(fields)}))

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Read what `save` wrote.

        Raises:
            EditRealError: The file is missing, damaged, of an older version or no trajectory.
        """
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                _check_format(metadata.get("format"), path)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
        except (OSError, SafetensorError) as error:
            raise EditRealError(f"expected a readable saved inversion at {path}, got: {error}") from error
        try:
            fields = json.loads(metadata["fields"])
            geometry = Geometry(**{name: tuple(value) for name, value in fields.pop("geometry").items()})
            uncond = Condition(**{name: tensors.get(f"uncond.{name}") for name in _CONDITION})  # type: ignore[arg-type]
            kept = {name.removeprefix(_KEPT): tensors[name] for name in tensors if name.startswith(_KEPT)}
            parts = {"latents": tensors["latents"], "uncond": uncond, "arrived": tensors.get("arrived"), "kept": kept}
            if fields.get("asked") is not None:
                InversionSettings(**fields["asked"])  # read to see whether it can be
            trajectory = cls(geometry=geometry, **parts, **fields)
            _check_whole(trajectory)
            return trajectory
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EditRealError(
                f"expected an inversion that this version of edit-real saved at {path}, got other fields ({error}); "
                "invert the photo again"
            ) from error

    def check_valid_for(self, **expected: Any) -> None:
        """Refuse to serve anything but what was inverted.

        Args:
            **expected: Fields of the trajectory with the values that they must have.

        Raises:
            EditRealError: Says all that differs.
        """
        pairs = {name: (value, getattr(self, name)) for name, value in expected.items()}
        wrong = [
            _ANOTHER.get(name, f"{name} {got!r} instead of {value!r}")
            for name, (value, got) in pairs.items()
            if got != value
        ]
        if wrong:
            raise EditRealError(f"the saved inversion is of {' and '.join(wrong)}; invert the photo again")

    def spread_steps(self, number: int, start: float = 0.0) -> list[int]:
        """`number` of the steps from the share `start` of the way on, evenly spread up to the photo, or all of them."""
        last = self.steps - 1
        return sorted(
            {round(step) for step in torch.linspace(start * last, last, number, dtype=torch.float64).tolist()}
        )


def _check_whole(trajectory: Trajectory) -> None:
    """Refuses tensors and fields that do not belong together."""
    steps, latents, uncond = trajectory.steps, trajectory.latents, trajectory.uncond
    left, top, right, bottom = trajectory.geometry.box
    width, height = trajectory.geometry.photo_size
    fits = {
        "latents": latents.ndim == 4 and len(latents) == steps + 1,
        "uncond": uncond.embeds is not None and len(uncond) == steps,
        "first": 0 <= trajectory.first < steps,
        "geometry": 0 <= left < right <= width and 0 <= top < bottom <= height,
    }
    if wrong := [name for name, fit in fits.items() if not fit]:
        raise ValueError(f"{wrong[0]} of another size")


def _check_format(found: str | None, path: str | Path) -> None:
    if found == FIRST_FORMAT:
        raise EditRealError(
            f"expected an inversion that this version of edit-real saved, got one of version 0.1 at {path}, which "
            "cannot be matched with its model on every machine; invert the photo again"
        )
    if found != FORMAT:
        raise EditRealError(f"expected an inversion saved by edit-real, got another file: {path}")
