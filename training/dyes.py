"""Dyes the petals of one flower in the colour of another, in CIE Lab.

The shades of the petals move as a whole (Reinhard et al., "Color Transfer between Images", IEEE Computer Graphics and
Applications, 2001): a dark red rose that turns yellow becomes as light as yellow roses are, and keeps its folds.

A colour here is `(lightness, a, b)`: lightness in [0, 100], a and b about -100 to 100.
"""

from __future__ import annotations

import cv2
import numpy as np

from training.colors import color_masks

# The means and the standard deviations of what petals are dyed to: the more vivid of flowers that bear these names.
DYES = {
    "white": ((84, -1, 2), (4, 2, 3)),
    "yellow": ((76, -3, 68), (5, 4, 8)),
    "red": ((42, 58, 37), (5, 6, 6)),
    "pink": ((60, 46, -3), (8, 7, 6)),
    "orange": ((63, 34, 58), (5, 5, 8)),
    "purple": ((42, 40, -42), (7, 6, 6)),
}
CONTRAST, MAX_STRETCH = 13.0, 1.5  # standard deviation of the lightness, and what grain can bear to reach it
TRIES = 8
LIKE_ASKED = 0.7  # share of the dyed pixels that must bear the asked colour's name
NEAR_HUE = np.deg2rad(35)  # petals of one flower, such as an orange one with yellow tips, lie within
HUES_KEPT = 0.5  # of how the hues of petals differ, since the names of some colours hold few hues
COLORFUL = 20.0  # chroma from which a hue means something


def to_lab(image: np.ndarray) -> np.ndarray:
    """RGB uint8 `(H, W, 3)` to float32 `(H, W, 3)`."""
    return cv2.cvtColor(image.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)


def from_lab(lab: np.ndarray) -> np.ndarray:
    """The inverse of `to_lab`; colours that no screen shows keep lightness and hue and lose chroma."""
    for _ in range(12):
        rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
        again = cv2.cvtColor(np.clip(rgb, 0, 1), cv2.COLOR_RGB2LAB)
        outside = np.abs(again - lab).max(-1) > 1.5
        if not outside.any():
            break
        lab = np.where(outside[..., None], lab * (1, 0.93, 0.93), lab)
    return np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def find_petals(image: np.ndarray, mask: np.ndarray, color: str) -> np.ndarray:
    """The flower's petals, boolean `(H, W)`: what of `mask` bears its colour's name, or is near to it in hue.

    Leaves, a heart of another colour and holes to the background are not among them; the rim of the petals is, a pixel
    outside of `mask` too, lest it keep the old colour.
    """
    named = color_masks(image)
    if color == "white":
        return mask & (named["white"] | named["gray"])
    petals = mask & named[color]
    if not petals.any():
        return petals
    tint = _tint(to_lab(image))
    near = np.abs(np.angle(tint * np.conj(tint[petals].mean()))) < NEAR_HUE
    other = named["green"] | named["brown"] | named["black"]
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return petals | (rim & near & (np.abs(tint) > COLORFUL) & ~other)


def dye(image: np.ndarray, petals: np.ndarray, color: np.ndarray) -> np.ndarray:
    """`image` with the petals' mean moved to `color` and the contrast of their lightness to that of most petals.

    Args:
        image: RGB, `(H, W, 3)` uint8.
        petals: Boolean `(H, W)`, of one pixel at least.
        color: Lightness, a and b.
    """
    lab = to_lab(image)
    old, contrast = lab[petals].mean(0), lab[petals][:, 0].std()
    lightness = color[0] + (lab[..., 0] - old[0]) * min(CONTRAST / max(contrast, 1.0), MAX_STRETCH)
    old_tint, new_tint = complex(*old[1:]), complex(*color[1:])
    if abs(old_tint) > COLORFUL:
        turned = _tint(lab) / old_tint
        tint = new_tint * np.abs(turned) * np.exp(1j * np.angle(turned) * HUES_KEPT)
    else:  # white petals have no hue to turn: shade dims the new tint as it dims them
        tint = new_tint * np.clip(lightness / color[0], 0, None)
    dyed = from_lab(np.stack([np.clip(lightness, 0, 100), tint.real, tint.imag], -1))
    soft = cv2.GaussianBlur(petals.astype(np.float32), (0, 0), 1.0)[..., None]
    return np.rint(image * (1 - soft) + dyed * soft).astype(np.uint8)


def dye_as(image: np.ndarray, petals: np.ndarray, to_color: str, rng: np.random.Generator) -> np.ndarray | None:
    """`image` with its petals dyed in a random tone of `to_color`; None where no tone gives the petals that name."""
    for _ in range(TRIES):
        dyed = dye(image, petals, rng.normal(*DYES[to_color]))
        if color_masks(dyed)[to_color][petals].mean() > LIKE_ASKED:
            return dyed
    return None


def _tint(lab: np.ndarray) -> np.ndarray:
    """A and b as one complex number, whose angle is the hue and whose modulus is the chroma."""
    return lab[..., 1] + 1j * lab[..., 2]
