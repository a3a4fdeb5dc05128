"""All that is needed to make an edit again, as it is kept inside a saved picture."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import default_dtype
from backbones.option import check_number, comparable
from backbones.packet import MOST_BYTES
from backbones.paths import expanded
from backbones.photo import MAX_PIXELS
from backbones.xmp import read_text
from editing.captions import CONTROL, check_caption
from editing.kind import policy_of
from editing.plan import EditPlan
from editing.settings import MASKS, EditSettings, InversionSettings, split_settings
from editing.version import __version__
from inversion.settings import MOST_SEED
from inversion.trajectory import GENERATED, Trajectory

FORMAT = "edit-real recipe 1"
DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True)
class Recipe:
    """All that is needed to make an edit again, beside the photo and the model's weights.

    Attributes:
        caption: What the photo shows.
        new_caption: What the edit should show.
        model: `bundled`, a folder or a hub id.
        region: The part of the photo that was worked on, where it was not all of it.
        dtype: Of the network, where it was not the device's own.
        seed: Of a generated image; None for a photo.
        settings: Those of inversion and edit that are not at their defaults, by their names; masks excepted.
        masks: `include_mask` and `exclude_mask`, where they were given, as PNG files of the photo's size.
        version: Of the edit-real that made the edit.

    Example:
        >>> recipe = read_recipe("white rose.png")
        >>> edit_real("rose.jpg", recipe.caption, recipe.new_caption, model=recipe.model, **recipe.options())
    """

    caption: str
    new_caption: str
    model: str = "bundled"
    region: tuple[int, int, int, int] | None = None
    dtype: str | None = None
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    masks: Mapping[str, bytes] = field(default_factory=dict)
    version: str = __version__

    @classmethod
    def of(cls, backbone: Backbone, trajectory: Trajectory, plan: EditPlan) -> Recipe:
        """The recipe of an edit of a trajectory as it was planned."""
        generated = trajectory.method == GENERATED
        used_dtype = None if backbone.dtype == default_dtype(backbone.device) else backbone.dtype_name
        drawn = {"include_mask": plan.region.include, "exclude_mask": plan.region.exclude}
        return cls(
            caption=plan.alignment.source.text,
            new_caption=plan.alignment.target.text,
            model=backbone.name,
            region=None if trajectory.geometry.is_whole else trajectory.geometry.box,
            dtype=used_dtype,
            seed=trajectory.report["seed"] if generated else None,
            settings=_settings_of(backbone, trajectory, plan),
            masks={name: _as_png(mask) for name, mask in drawn.items() if mask is not None},
        )

    def options(self) -> dict[str, Any]:
        """Settings and masks as `edit_real` takes them; `editing.settings.split_settings` sorts them."""
        return {**self.settings, **{name: _read_png(png, name) for name, png in self.masks.items()}}

    def shareable(self) -> Recipe:
        """Without the place of a model's folder on this machine: its name alone."""
        path = expanded(self.model)
        return replace(self, model=path.resolve().name) if path.exists() else self

    def to_json(self) -> str:
        """As ASCII text."""
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        content["masks"] = {name: base64.b64encode(png).decode() for name, png in self.masks.items()}
        given = {name: value for name, value in content.items() if value not in (None, {})}
        return json.dumps({"format": FORMAT, **given})

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Reads what `to_json` wrote. Nothing that it names is opened or run.

        Raises:
            EditRealError: The text is no recipe, damaged, or has settings that this version of edit-real does not.
        """
        try:
            if len(text) > MOST_BYTES:
                raise EditRealError(f"a text of {len(text)} characters")
            return cls(**_checked(json.loads(text)))
        except (EditRealError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise EditRealError(f"expected a recipe of an edit that edit-real wrote, got: {error}") from error


def read_recipe(path: str | Path) -> Recipe | None:
    """The recipe inside a picture's file that edit-real wrote; None where there is none.

    Raises:
        EditRealError: The file is no picture, or the recipe in it is damaged.
    """
    text = read_text(path)
    return None if text is None else Recipe.from_json(text)


def _settings_of(backbone: Backbone, trajectory: Trajectory, plan: EditPlan) -> dict[str, Any]:
    """The settings of an edit that are not at their defaults, masks excepted."""
    plain = {name: _plain(value) for name, value in vars(plan.settings).items() if name not in MASKS}
    defaults = {name: _plain(value) for name, value in vars(EditSettings()).items()}
    changed = {name: value for name, value in plain.items() if comparable(value) != comparable(defaults[name])}
    # What a kind chooses is written down, so that it is made again whatever a kind chooses by then.
    pinned = {"kind": "plain"} if policy_of(plan.kind, plan.asked) else {}
    return {**_inversion_of(backbone, trajectory), **changed, **pinned}


def _inversion_of(backbone: Backbone, trajectory: Trajectory) -> dict[str, Any]:
    """The settings of an inversion that are not at their defaults; what can be told where they were not noted."""
    if trajectory.asked is not None:
        return {name: _plain(value) for name, value in trajectory.asked.items()}
    used: dict[str, Any] = {"inversion": trajectory.method, "steps": trajectory.steps}
    if trajectory.guidance_scale != backbone.guidance_scale:
        used["guidance_scale"] = trajectory.guidance_scale
    if trajectory.method == GENERATED:
        del used["inversion"]
    return {name: value for name, value in used.items() if value != getattr(InversionSettings, name)}


def _plain(value: Any) -> Any:
    """A setting's value of Python's own types: sequences of numbers as tuples, those of words as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_plain(one) for one in (sorted(value) if isinstance(value, set | frozenset) else value)]
        return tuple(parts) if parts and not any(isinstance(part, str) for part in parts) else parts
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value


def _checked(content: Any) -> dict[str, Any]:
    """The fields of a recipe as JSON has them, of the right types and within bounds.

    Raises:
        EditRealError: They are not.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else content
        raise EditRealError(f"one of another format, {str(found)[:40]!r}")
    given = {name: value for name, value in content.items() if name != "format"}
    known = [one.name for one in fields(Recipe)]
    if unknown := sorted(set(given) - set(known)):
        raise EditRealError(f"the unknown part {unknown[0][:40]!r}")
    if any(CONTROL.search(text) for text in _texts(given)):
        raise EditRealError("control characters in its words")
    for name in ("caption", "new_caption"):
        check_caption(given[name], name.replace("_", " "))
    for name in ("model", "version"):
        if not isinstance(given.get(name, ""), str):
            raise EditRealError(f"a {name} that is no text")
    if given.get("dtype") not in (None, *DTYPES):
        raise EditRealError(f"an unknown dtype, {given['dtype']!r}")
    if given.get("seed") is not None:
        check_number("seed", given["seed"], 0, MOST_SEED, whole=True)
    if given.get("region") is not None:
        left, top, right, bottom = given["region"]
        for side in (left, top, right, bottom):
            check_number("region", side, 0, 2**31, whole=True)
        given["region"] = (left, top, right, bottom)
    for name in ("settings", "masks"):
        if not isinstance(given.setdefault(name, {}), dict):
            raise EditRealError(f"{name} without names")
    return {**given, "settings": _checked_settings(given["settings"]), "masks": _checked_masks(given["masks"])}


def _checked_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: _plain(value) for name, value in given.items()}
    if named := [name for name in MASKS if name in settings]:
        raise EditRealError(f"{named[0]} among its settings, where no file may be named")
    split_settings(settings)
    return settings


def _checked_masks(given: Mapping[str, Any]) -> dict[str, bytes]:
    masks: dict[str, bytes] = {}
    for name, text in given.items():
        if name not in MASKS:
            raise EditRealError(f"the unknown mask {name[:40]!r}")
        try:
            masks[name] = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise EditRealError(f"a damaged {name}") from error
        _read_png(masks[name], name)
    return masks


def _texts(content: Any) -> Iterator[str]:
    """All texts in JSON's values, keys included."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from _texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from _texts(value)


def _as_png(mask: np.ndarray) -> bytes:
    """A mask `(H, W)` bool as a PNG file of one bit a pixel."""
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _read_png(png: bytes, name: str) -> Image.Image:
    """The picture of a mask, white where it holds.

    Raises:
        EditRealError: It is none, or far too large.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise EditRealError(f"a {name} of {opened.width}x{opened.height} pixels")
            return opened.convert("L")
    except EditRealError:
        raise
    except Exception as error:  # the decoder raises what it pleases on damaged data
        raise EditRealError(f"a damaged {name}") from error
