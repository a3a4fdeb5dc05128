"""Heat maps as pictures of the photo's size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from backbones.geometry import Geometry
from backbones.photo import Photo
from backbones.text import Caption
from editing.align import content_words
from masks.aggregate import AttentionMaps, normalize, word_heat


def heat_image(
    maps: AttentionMaps, positions: Sequence[int], photo: Photo, geometry: Geometry, *, step: int | None = None
) -> Image.Image:
    """The heat map of the tokens at `positions`, L, of the photo's size; black outside what the model saw.

    Args:
        maps: Of the caption over the photo.
        positions: Token positions.
        photo: The photo.
        geometry: Of the photo.
        step: One of the recorded steps; None is their mean.
    """
    heat = normalize(word_heat(maps, positions, step=step)).cpu().numpy()
    left, top, right, bottom = geometry.box
    small = Image.fromarray(np.rint(heat * 255).astype(np.uint8))
    whole = Image.new("L", photo.size)
    whole.paste(small.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
    return whole


def heat_images(maps: AttentionMaps, caption: Caption, photo: Photo, geometry: Geometry) -> dict[str, Image.Image]:
    """A heat map for every content word of the caption, by the word as typed; one for a word that stands twice."""
    found: dict[str, list[int]] = {}
    texts: dict[str, str] = {}
    for word in content_words(caption):
        found.setdefault(word.key, []).extend(word.positions)
        texts.setdefault(word.key, word.text)
    return {texts[key]: heat_image(maps, positions, photo, geometry) for key, positions in found.items()}
