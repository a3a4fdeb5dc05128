"""Dyes a photo's thing in the colour of another, in CIE Lab.

The shades move as a whole (Reinhard et al., "Color Transfer between Images", IEEE Computer Graphics and Applications,
2001): a dark red shirt that turns yellow becomes as light as yellow shirts are, and keeps its folds and its pattern.

A tone here is `(lightness, a, b)`: lightness in [0, 100], a and b about -100 to 100.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from training.colors import color_masks

Tones = Mapping[str, Sequence[Sequence[float]]]
"""Colour -> tones of real things that bear its name."""

CONTRAST, STRETCH = 13.0, (0.6, 1.5)  # standard deviation of the lightness to aim at, and how far grain is stretched
DARK = 30.0  # lightness under which folds are faint, in what is dyed and in what it is dyed to
TRIES = 6
LIKE_ASKED = 0.7  # share of the dyed pixels that must bear the asked colour's name
NEAR_HUE = np.deg2rad(35)  # petals of one flower, such as an orange one with yellow tips, lie within
HUES_KEPT = 0.5  # of how the hues of a thing differ, since the names of some colours hold few hues
COLORFUL = 20.0  # chroma from which a hue means something
FEWEST_TONES = 6  # of one kind of thing; with fewer, those of all kinds serve
VIVID_SHARE = 0.6  # of the tones of a colour with a hue, those with most chroma
HUELESS = ("white", "black", "gray", "brown")
NEVER = {"fruit": ("blue", "gray", "white"), "flower": ("black", "gray", "green", "brown")}  # no thing looks like it


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


def dyeable(image: np.ndarray, mask: np.ndarray, color: str, kind: str) -> np.ndarray:
    """What of a thing takes a dye, boolean `(H, W)`: a garment whole, of others what bears their colour's name.

    Leaves, a flower's heart of another colour, windows and wheels, and holes to the ground are not among them; the rim
    is, a pixel outside of `mask` too, lest it keep the old colour.
    """
    if kind == "clothes":
        return mask
    named = color_masks(image)
    if color in HUELESS:
        near_names = {"white": ("white", "gray"), "black": ("black", "gray"), "gray": ("gray", "white", "black")}
        return mask & np.any([named[name] for name in near_names.get(color, (color, "orange"))], axis=0)
    body = mask & named[color]
    if not body.any():
        return body
    tint = _tint(to_lab(image))
    near = np.abs(np.angle(tint * np.conj(tint[body].mean()))) < NEAR_HUE
    other = named["brown"] | named["black"]
    if color != "green":
        other = other | named["green"]
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return body | (rim & near & (np.abs(tint) > COLORFUL) & ~other)


def dye(image: np.ndarray, pixels: np.ndarray, tone: Sequence[float]) -> np.ndarray:
    """`image` with the mean of `pixels` moved to `tone`, their shades kept.

    Args:
        image: RGB, `(H, W, 3)` uint8.
        pixels: Boolean `(H, W)`, of one pixel at least.
        tone: Lightness, a and b.
    """
    lab = to_lab(image)
    old, contrast = lab[pixels].mean(0), max(float(lab[pixels][:, 0].std()), 1.0)
    aim = CONTRAST * min(1.0, 0.4 + tone[0] / (2 * DARK))
    shade = (lab[..., 0] - old[0]) * float(np.clip(aim / contrast, *STRETCH))
    lightness = tone[0] + _bend(shade, 100.0 - tone[0], tone[0])
    old_tint, new_tint = complex(*old[1:]), complex(*tone[1:])
    if abs(old_tint) > COLORFUL:
        turned = _tint(lab) / old_tint
        tint = new_tint * np.abs(turned) * np.exp(1j * np.angle(turned) * HUES_KEPT)
    else:  # what has no hue to turn: shade dims the new tint as it dims the thing, and highlights stay pale
        tint = new_tint * np.clip(lightness / tone[0], 0, None)
    tint = tint * np.clip((100.0 - lightness) / max(100.0 - tone[0], 1.0), 0.0, 1.0)
    dyed = from_lab(np.stack([np.clip(lightness, 0, 100), tint.real, tint.imag], -1))
    soft = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), 1.0)[..., None]
    return np.rint(image * (1 - soft) + dyed * soft).astype(np.uint8)


def dye_as(
    image: np.ndarray, pixels: np.ndarray, color: str, tones: Sequence[Sequence[float]], rng: np.random.Generator
) -> np.ndarray | None:
    """`image` with its pixels dyed in one of `color`'s tones; None where no tone gives them that name."""
    if not pixels.any():
        return None
    for _ in range(TRIES):
        tone = np.asarray(tones[int(rng.integers(len(tones)))]) + rng.normal(0.0, (3.0, 2.0, 2.0))
        dyed = dye(image, pixels, (float(np.clip(tone[0], 8.0, 92.0)), *tone[1:]))
        if color_masks(dyed)[color][pixels].mean() > LIKE_ASKED:
            return dyed
    return None


def measure_tone(image: np.ndarray, pixels: np.ndarray, color: str) -> tuple[float, float, float] | None:
    """The mean of those of the pixels that bear the colour's name, None where they are few."""
    named = pixels & color_masks(image)[color]
    if named.sum() < 0.6 * pixels.sum() or named.sum() < 100:
        return None
    lightness, a, b = to_lab(image)[named].mean(0)
    return float(lightness), float(a), float(b)


def choose_tones(
    measured: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], kind: str
) -> dict[str, list[list[float]]]:
    """What things of a kind are dyed to: the more vivid tones of real ones, `measured` by kind and colour."""
    chosen = {}
    for color in dict.fromkeys(color for by_color in measured.values() for color in by_color):
        own = measured.get(kind, {}).get(color, [])
        others = [tone for by_color in measured.values() for tone in by_color.get(color, [])]
        tones = sorted(
            (list(tone) for tone in (own if len(own) >= FEWEST_TONES else others)),
            key=lambda tone: -float(np.hypot(*tone[1:])),
        )
        if tones and color not in NEVER.get(kind, ()):
            chosen[color] = tones if color in HUELESS else tones[: max(1, round(VIVID_SHARE * len(tones)))]
    return chosen


def _bend(shade: np.ndarray, above: float, below: float) -> np.ndarray:
    """Shades that keep to the room above and below the tone: straight while small, bent as they near its end."""
    room = np.where(shade > 0, max(above, 1.0), max(below, 1.0))
    return room * np.tanh(shade / room)


def _tint(lab: np.ndarray) -> np.ndarray:
    """A and b as one complex number, whose angle is the hue and whose modulus is the chroma."""
    return lab[..., 1] + 1j * lab[..., 2]
