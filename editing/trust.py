"""How far an edit can be trusted: signs of how it came out, weighed by a logistic model that was fitted to edits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backbones.backbone import Backbone
from backbones.errors import EditRealError

FARTHEST = 3.0  # standard deviations, beyond which a sign says no more
OF_THE_REQUEST = ("asks_thing",)  # signs of what was asked, which no result can mend
OF_THE_PLACE = ("fits_map",)  # signs of where the edit took place, which do not tell what came of it


@dataclass(frozen=True)
class TrustModel:
    """A logistic model of signs; its numbers hold for the model whose edits it was fitted to.

    Attributes:
        means: Of each sign over the edits that it was fitted to.
        scales: Standard deviations, the same.
        weights: Of each sign, once it is centred and scaled.
        bias: Of the sum.
        warn_below: The trust under which an edit is warned of.
    """

    means: Mapping[str, float]
    scales: Mapping[str, float]
    weights: Mapping[str, float]
    bias: float
    warn_below: float

    @classmethod
    def of(cls, backbone: Backbone) -> TrustModel | None:
        """A model's own; None where nothing was fitted to its edits, since another model's numbers say nothing of it.

        Raises:
            EditRealError: What the model's folder has is damaged.
        """
        return None if backbone.trust is None else cls.from_json(backbone.trust)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrustModel:
        """What `to_json` gave.

        Raises:
            EditRealError: Something is missing, or is no number.
        """
        try:
            tables = {
                name: {str(sign): float(value) for sign, value in content[name].items()}
                for name in ("means", "scales", "weights")
            }
            if not all(tables["scales"][name] > 0 and name in tables["means"] for name in tables["weights"]):
                raise ValueError("a sign without its mean, or whose scale is not above 0")
            return cls(**tables, bias=float(content["bias"]), warn_below=float(content["warn_below"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EditRealError(
                f"expected a model's trust as means, scales, weights, bias and warn_below, got {error!r}; "
                "fit it again with python -m benchmarks.trust"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """For a model's `edit_real.json`."""
        return {name: dict(one) if isinstance(one, Mapping) else one for name, one in vars(self).items()}

    def standardized(self, signs: Mapping[str, float]) -> dict[str, float]:
        """Each sign in standard deviations from its mean; one that does not apply is at the mean, and says nothing."""
        return {
            name: 0.0
            if math.isnan(signs.get(name, math.nan))
            else float(np.clip((signs[name] - self.means[name]) / self.scales[name], -FARTHEST, FARTHEST))
            for name in self.weights
        }

    def parts(self, signs: Mapping[str, float]) -> dict[str, float]:
        """What each sign adds to the sum; below zero it speaks against the edit."""
        return {name: self.weights[name] * value for name, value in self.standardized(signs).items()}

    def measured(self, signs: Mapping[str, float]) -> dict[str, float]:
        """The parts of what was measured of the edit: not of what was asked, and not of what does not apply."""
        return {
            name: part
            for name, part in self.parts(signs).items()
            if name not in OF_THE_REQUEST and not math.isnan(signs.get(name, math.nan))
        }

    def trust(self, signs: Mapping[str, float]) -> float:
        """How likely the edit came out, in [0, 1]; 0 where nothing was edited, NaN where no sign tells what came."""
        if signs.get("mask_share") == 0:
            return 0.0
        if self.measured(signs).keys() <= {*OF_THE_PLACE}:
            return math.nan
        return 1 / (1 + math.exp(-(self.bias + sum(self.parts(signs).values()))))
