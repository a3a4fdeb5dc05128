"""A photo's way to noise as plain data, with what it is valid for."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from backbones.errors import EditRealError

FORMAT = "edit-real trajectory 1"
_TENSORS = ("latents", "uncond_embeds", "residuals")


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The latents of every step of one photo, and what guided sampling needs to follow them.

    Attributes:
        latents: `(steps + 1, C, h, w)` float32, from noise (index 0) to photo (the last).
        uncond_embeds: The unconditional embedding of every step, `(steps, K, D)` float32.
        residuals: What the guided step from each level misses of the next, `(steps, C, h, w)` float32.
        caption: What the photo shows.
        method: `ddim`, `null_text`, `negative_prompt`, `direct` or `generated`.
        steps: Number of transitions.
        guidance_scale: That the embeddings and residuals serve.
        pixel_hash: Of the photo, or of the generated image.
        fingerprint: Of the model.
        dtype: Of the network, such as `float32`.
        geometry: The photo's size, the box that the model saw and its working size, as plain numbers.
        null_text_start: Whose embedding null-text started from, `empty` or `caption`; empty for other methods.
        inner_steps: Null-text updates at each timestep, where there were any.
        losses: Null-text's squared error at each timestep.
        seed: Of the noise that a generated image started from; None for a photo.
    """

    latents: torch.Tensor
    uncond_embeds: torch.Tensor
    residuals: torch.Tensor
    caption: str
    method: str
    steps: int
    guidance_scale: float
    pixel_hash: str
    fingerprint: str
    dtype: str
    geometry: dict[str, Any]
    null_text_start: str = ""
    inner_steps: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()
    seed: int | None = None

    def to(self, device: torch.device | str) -> Trajectory:
        """The same trajectory with its tensors on `device`."""
        return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in _TENSORS})

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file, whole or not at all."""
        target = Path(path)
        tensors = {name: getattr(self, name).detach().cpu().contiguous() for name in _TENSORS}
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in _TENSORS}
        draft = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            save_file(tensors, draft, {"format": FORMAT, "fields": json.dumps(fields)})
            os.replace(draft, target)
        except OSError as error:
            raise EditRealError(
                f"expected a writable path for the inversion, got {target}: {error.strerror}"
            ) from error
        finally:
            draft.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Read what `save` wrote.

        Raises:
            EditRealError: The file is missing, damaged or no trajectory.
        """
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise EditRealError(f"expected an inversion saved by edit-real, got another file: {path}")
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
        except (OSError, SafetensorError) as error:
            raise EditRealError(f"expected a readable saved inversion at {path}, got: {error}") from error
        fields = json.loads(metadata["fields"])
        for name in ("inner_steps", "losses"):
            fields[name] = tuple(fields[name])
        return cls(**tensors, **fields)

    def check_valid_for(self, **expected: Any) -> None:
        """Refuse to serve anything but what was inverted.

        Args:
            **expected: Fields of the trajectory with the values that they must have.

        Raises:
            EditRealError: Names every field that differs.
        """
        pairs = {name: (value, getattr(self, name)) for name, value in expected.items()}
        wrong = [f"{name} {got!r} instead of {value!r}" for name, (value, got) in pairs.items() if got != value]
        if wrong:
            raise EditRealError(f"the saved inversion is of something else: {'; '.join(wrong)}; invert the photo again")
