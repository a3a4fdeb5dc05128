"""Prompt-to-Prompt's attention edits as pure functions, and one control that composes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from backbones.attention import AttentionSite
from backbones.text import Caption
from editing.align import Alignment, new_words
from editing.window import Window, steps_in

SELF_SIDE = 32  # self-attention is carried over up to maps of this side (Hertz et al. 2023, appendix)


def carry_cross(
    source_probs: torch.Tensor, target_probs: torch.Tensor, carry: torch.Tensor, fresh: torch.Tensor
) -> torch.Tensor:
    """Replace and refine in one (Hertz et al. 2023, equations 4 and 5).

    The new words take their own attention, the others share the rest of each pixel as they share it in the source.
    Rows sum to 1, whatever was added or removed.

    Args:
        source_probs: `(heads, Q, K)`.
        target_probs: `(heads, Q, K)`.
        carry: From `Alignment.carry_matrix`, `(K, K)`.
        fresh: From `Alignment.fresh_tokens`, `(K,)` bool.

    Returns:
        `(heads, Q, K)`.
    """
    own = target_probs * fresh
    carried = source_probs @ carry
    rest = 1 - own.sum(-1, keepdim=True)
    return carried * (rest / carried.sum(-1, keepdim=True).clamp(min=1e-6)) + own


def reweight(probs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Scales the tokens' attention, `(heads, Q, K)` by `(K,)`, without renormalising (equation 6)."""
    return probs * weights


@dataclass(frozen=True, eq=False)
class EditPlan:
    """What happens to one target's attention, step by step.

    Attributes:
        alignment: The two captions.
        carry: `(K, K)`.
        fresh: `(K,)` bool.
        weights: `(K,)`.
        cross_steps: The steps at which each target token carries the source's attention, `(steps, K)` bool.
        self_steps: The steps at which self-attention does, `(steps,)` bool.
    """

    alignment: Alignment
    carry: torch.Tensor
    fresh: torch.Tensor
    weights: torch.Tensor
    cross_steps: torch.Tensor
    self_steps: torch.Tensor

    def to(self, device: torch.device) -> EditPlan:
        """The same plan with its tensors on `device`."""
        fields = ("carry", "fresh", "weights", "cross_steps", "self_steps")
        return EditPlan(self.alignment, *(getattr(self, name).to(device) for name in fields))

    def cross(self, source_probs: torch.Tensor, target_probs: torch.Tensor, step: int) -> torch.Tensor:
        """The target's edited cross-attention, `(heads, Q, K)`."""
        carried = carry_cross(source_probs, target_probs, self.carry, self.fresh)
        return reweight(torch.where(self.cross_steps[step], carried, target_probs), self.weights)


def plan_edit(
    alignment: Alignment,
    steps: int,
    *,
    cross_replace: Window | Mapping[str, Window],
    self_replace: Window,
    weights: Mapping[str, float],
    carry_swaps: bool,
    emphasis: float = 1.0,
) -> EditPlan:
    """Lays out an edit.

    Args:
        alignment: The two captions.
        steps: Of the schedule.
        cross_replace: When the source's cross-attention is carried over; a mapping gives target words a window of
            their own, and the others that of the key `default` (or all steps).
        self_replace: When its self-attention is.
        weights: Target words and what their attention is multiplied by; zero and negative numbers are allowed.
        carry_swaps: Whether a swapped word takes the old word's attention or finds its own.
        emphasis: What the new words' attention is multiplied by, where `weights` does not name them.

    Raises:
        EditRealError: A window outside [0, 1], or a word that the new caption lacks.
    """
    target = alignment.target
    windows = dict(cross_replace) if isinstance(cross_replace, Mapping) else {"default": cross_replace}
    length = len(target.input_ids)
    cross_steps = steps_in(windows.pop("default", 1.0), steps)[:, None].expand(steps, length).clone()
    for name, window in windows.items():
        cross_steps[:, _positions(target, name)] = steps_in(window, steps)[:, None]
    scale = torch.ones(length)
    for word in new_words(alignment):
        scale[list(word.positions)] = float(emphasis)
    for name, weight in weights.items():
        scale[_positions(target, name)] = float(weight)
    return EditPlan(
        alignment=alignment,
        carry=alignment.carry_matrix(swaps=carry_swaps),
        fresh=alignment.fresh_tokens(swaps=carry_swaps),
        weights=scale,
        cross_steps=cross_steps,
        self_steps=steps_in(self_replace, steps),
    )


def edit_attention(probs: torch.Tensor, site: AttentionSite, step: int, plans: Sequence[EditPlan]) -> torch.Tensor:
    """The control of a whole batch: source, targets' unconditional rows, targets' conditional rows.

    Args:
        probs: `(1 + 2N, heads, Q, K)` for `N` targets.
        site: The layer.
        step: Of the schedule.
        plans: One for each target.

    Returns:
        The same shape; the source's and the unconditional rows are as they were.
    """
    source, untouched, targets = probs[0], probs[: 1 + len(plans)], probs[1 + len(plans) :]
    if site.kind == "cross":
        edited = [plan.cross(source, target, step) for plan, target in zip(plans, targets, strict=True)]
    elif site.height * site.width <= SELF_SIDE**2:
        edited = [source if plan.self_steps[step] else target for plan, target in zip(plans, targets, strict=True)]
    else:
        return probs
    return torch.cat([untouched, torch.stack(edited)])


def _positions(caption: Caption, name: str) -> list[int]:
    return [position for word in caption.find(name) for position in word.positions]
