"""How a photo is brought to noise: what a user can set of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backbones.errors import EditRealError
from backbones.option import check_options, option

if TYPE_CHECKING:
    from inversion.method import Method

MOST_SEED = 2**63 - 1


def _methods() -> Mapping[str, Method]:
    from inversion.invert import METHODS  # which imports this file

    return METHODS


@dataclass(frozen=True)
class InversionSettings:
    """How a photo is brought to noise; each field's metadata says what it does, see docs/reference.md.

    Raises:
        EditRealError: A value that does not fit.
    """

    inversion: str = option(
        "null_text",
        help="how guided sampling is made to follow the photo",
        group="inversion",
        choices=_methods,
    )
    steps: int = option(
        20,
        help="denoising steps, of the inversion and of the edit alike; 50 as published. Above 100 take a divisor of "
        "1000: with others most models leave out the noisiest of their 1000 timesteps, with 501 half of them",
        group="inversion",
        least=1,
        whole=True,
    )
    guidance_scale: float | None = option(
        None,
        help="how strongly the edit follows the new caption; 1 is not at all beyond the model's own way",
        group="inversion",
        least=1,
        none="what suits the model",
    )
    max_inner_steps: int = option(
        2,
        help="null-text updates of a step at most; 10 as published, and 2 are enough for `null_text_search`; more take "
        "longer, and follow the photo more closely where it is not replayed (`exact`)",
        group="inversion",
        least=0,
        whole=True,
    )
    null_text_block: int = option(
        2,
        help="timesteps that `null_text` tunes at once, each from its own latents of the inversion; 1 is one after "
        "another along guided sampling's own path, as published",
        group="inversion",
        least=1,
        whole=True,
    )
    null_text_every: int = option(
        7,
        help="in blocks, `null_text` tunes one timestep of so many; those that follow take its embedding",
        group="inversion",
        least=1,
        whole=True,
    )
    null_text_start: str = option(
        "empty",
        help="whose embedding null-text starts from: `empty` edits more strongly, `caption` follows the photo more "
        "closely without `exact`",
        group="inversion",
        choices=("empty", "caption"),
    )

    skip: float | None = option(
        None,
        help="share of the steps from noise that sampling leaves out, so that more of the photo stays; windows such as "
        "`cross_replace` are shares of the others",
        group="inversion",
        least=0,
        most=0.95,
        none="what suits the method, mostly 0",
    )
    noise_seed: int = option(
        0,
        help="of the noise that `edit_friendly` and `none` add to the photo",
        group="inversion",
        least=0,
        most=MOST_SEED,
        whole=True,
    )
    eta: int = option(
        1,
        help="whose steps `edit_friendly` corrects: 1 is DDPM's, which take fresh noise on the way, 0 is DDIM's, which "
        "take none",
        group="inversion",
        least=0,
        most=1,
        whole=True,
    )

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that are not at their defaults."""
        return {name: value for name, value in vars(self).items() if value != getattr(InversionSettings, name)}

    @property
    def sampled(self) -> range:
        """The steps that sampling takes, one in any case."""
        skip = _methods()[self.inversion].skip if self.skip is None else self.skip
        return range(min(math.floor(skip * self.steps + 0.5), self.steps - 1), self.steps)

    def __post_init__(self) -> None:
        check_options(self)
        needed = _methods()[self.inversion].needs_guidance
        if needed and self.guidance_scale is not None and self.guidance_scale <= 1:
            raise EditRealError(
                f"expected guidance_scale above 1 for {self.inversion}, got {self.guidance_scale}; "
                "use inversion 'direct'"
            )
