"""Views of the prepared photos: crops, things dyed in other colours, things pasted small on other photos' grounds.

A view is `(image, mask, row)`: RGB `(S, S, 3)` uint8, the thing's pixels `(S, S)` float32 in [0, 1], and the photo's
row as its caption should tell it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from training.dyes import Tones, dye_as, dyeable

View = tuple[np.ndarray, np.ndarray, dict[str, Any]]

SMALLEST_CROP = 0.65  # side of the smallest crop, as a share of the photo's
DYED = {"clothes": 0.5, "flower": 0.45, "fruit": 0.4, "car": 0.6, "pet": 0.15}  # share of views, where dyes can be had
PASTED = {"clothes": 0.25, "flower": 0.2, "fruit": 0.0, "car": 0.0, "pet": 0.35}  # heaps and streets are not cut out
PET_COLORS = ("white", "black", "gray", "brown", "orange")
PASTED_SHARE = (0.03, 0.35)  # of the frame that a pasted thing fills
GROUND_KINDS = {"flower": 0.4, "fruit": 0.2, "clothes": 0.3, "car": 0.1}
GROUND_TRIES = 6  # crops of a ground, of which that with least of its own thing is taken


class Views:
    """Draws views of the prepared photos of one split."""

    def __init__(
        self, images: np.ndarray, objects: np.ndarray, rows: list[dict[str, Any]], tones: dict[str, Tones], size: int
    ) -> None:
        self.images, self.objects, self.rows, self.tones, self.size = images, objects, rows, tones, size
        kinds = np.array([row["kind"] for row in rows])
        self.grounds = {kind: np.flatnonzero(kinds == kind) for kind in GROUND_KINDS if (kinds == kind).any()}

    def whole(self, index: int, *, mirrored: bool = False) -> View:
        """The whole photo, which is what an edit sees."""
        flip = -1 if mirrored else 1
        image, mask = self.images[index][:, ::flip], self.objects[index][:, ::flip].astype(np.float32)
        return _to_size(image, self.size), _to_size(mask, self.size), self.rows[index]

    def draw(self, index: int, rng: np.random.Generator) -> View:
        """A random view of a photo: a crop or a paste, perhaps dyed, perhaps mirrored."""
        image, mask, row = self.images[index], self.objects[index], self.rows[index]
        if row["has_object"]:
            dyed = self._dye(image, mask, row, rng) if rng.random() < DYED[row["kind"]] else None
            if dyed is not None:
                image, row = dyed
            if rng.random() < PASTED[row["kind"]]:
                return self._paste(image, mask, {**row, "background": None, "pasted": True}, rng)
        side = image.shape[0]
        crop = int(rng.integers(int(side * SMALLEST_CROP), side + 1))
        y, x = rng.integers(0, side - crop + 1, size=2)
        flip = 1 if rng.random() < 0.5 else -1
        part = np.s_[y : y + crop, x : x + crop]
        shares = mask[part][:, ::flip].astype(np.float32)
        return _to_size(image[part][:, ::flip], self.size), _to_size(shares, self.size), row

    def _dye(
        self, image: np.ndarray, mask: np.ndarray, row: dict[str, Any], rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, Any]] | None:
        kind, tones = row["kind"], self.tones[row["kind"]]
        if kind in ("clothes", "pet"):
            pixels = mask
        elif row["color"]:
            pixels = dyeable(image, mask, row["color"], kind)
        else:
            return None
        colors = [color for color in tones if color != row["color"]]
        if not colors:
            return None
        color = str(rng.choice(colors))
        dyed = dye_as(image, pixels, color, tones[color], rng)
        return None if dyed is None else (dyed, {**row, "color": color, "dyed": True})

    def _paste(self, image: np.ndarray, mask: np.ndarray, row: dict[str, Any], rng: np.random.Generator) -> View:
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, left, height, width = ys[0], xs[0], ys[-1] - ys[0] + 1, xs[-1] - xs[0] + 1
        share = np.exp(rng.uniform(*np.log(PASTED_SHARE)))
        scale = self.size * np.sqrt(share / mask.sum())
        scale = min(scale, 0.95 * self.size / max(height, width))
        flip = 1 if rng.random() < 0.5 else -1
        part = np.s_[top : top + height, left : left + width]
        shape = (max(4, round(width * scale)), max(4, round(height * scale)))
        thing = cv2.resize(np.ascontiguousarray(image[part][:, ::flip]), shape, interpolation=cv2.INTER_AREA)
        alpha = np.ascontiguousarray(mask[part][:, ::flip].astype(np.float32))
        padded = cv2.GaussianBlur(np.pad(alpha, 4), (0, 0), 1.0)[4:-4, 4:-4]
        alpha = cv2.resize(
            np.clip(padded * 2 - 1, 0, 1), shape, interpolation=cv2.INTER_AREA
        )  # a little inside the rim
        alpha = cv2.GaussianBlur(alpha, (0, 0), 0.6)
        ground = self._ground(rng).astype(np.float32)
        y, x = (int(rng.integers(self.size - extent + 1)) for extent in alpha.shape)
        place = np.s_[y : y + alpha.shape[0], x : x + alpha.shape[1]]
        ground[place] = ground[place] * (1 - alpha[..., None]) + thing * alpha[..., None]
        shares = np.zeros((self.size, self.size), np.float32)
        shares[place] = alpha
        return np.rint(ground).astype(np.uint8), shares, row

    def _ground(self, rng: np.random.Generator) -> np.ndarray:
        """A crop of another photo with little of its own thing, often blurred as what lies behind a thing is."""
        kinds = list(self.grounds)
        weights = np.array([GROUND_KINDS[kind] for kind in kinds])
        index = int(rng.choice(self.grounds[kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]]))
        side, best = self.images.shape[1], None
        for _ in range(GROUND_TRIES):
            crop = int(side * rng.uniform(0.4, 1.0))
            y, x = rng.integers(0, side - crop + 1, size=2)
            part = np.s_[y : y + crop, x : x + crop]
            share = self.objects[index][part].mean()
            if best is None or share < best[0]:
                best = share, part
        ground = _to_size(self.images[index][best[1]], self.size)
        return cv2.GaussianBlur(ground, (0, 0), rng.uniform(0.5, 3.0)) if rng.random() < 0.4 else ground


def _to_size(image: np.ndarray, size: int) -> np.ndarray:
    shrink = image.shape[0] >= size
    return cv2.resize(
        np.ascontiguousarray(image), (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    )
