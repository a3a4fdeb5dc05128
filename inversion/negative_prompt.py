"""Negative-prompt inversion: the caption itself stands in for the unconditional embedding."""

from __future__ import annotations

import torch


def negative_prompt_embeds(prompt_embeds: torch.Tensor, steps: int) -> torch.Tensor:
    """The caption's embedding at every step, `(steps, K, D)` (Miyake et al. 2023, equation 7).

    With it the guided prediction for the caption equals the conditional one at any guidance, which is what the
    inversion used; null-text optimisation ends close to it, at a cost.

    Args:
        prompt_embeds: The caption's, `(1, K, D)`.
        steps: Of the schedule.
    """
    return prompt_embeds.expand(steps, -1, -1)
