"""Prompt-to-prompt: the source's attention is carried into the edit, word by word (Hertz et al., ICLR 2023)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from backbones.attention import Control, Site, attention, attention_probs, gather, pixels_share
from backbones.text import Caption
from editing.align import Alignment, new_words
from editing.rows import Rows
from editing.settings import EditSettings
from editing.window import Window, steps_in

if TYPE_CHECKING:
    from editing.plan import EditPlan

SELF_SHARE = 0.5  # self-attention is carried over up to half of the latents' side (32x32 at 512 pixels, as published),
LEAST_SELF_SIDE = 32  # and below this side in any case: a model of small latents has its layout there


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
class WordEdits:
    """What happens to one target's attention, step by step.

    Attributes:
        carry: How the source's tokens hand their attention to the target's, `(K, K)`.
        fresh: The target's tokens that take nothing from the source, `(K,)` bool.
        weights: What each token's attention is multiplied by at each step, `(steps, K)`.
        cross_steps: The steps at which each target token carries the source's attention, `(steps, K)` bool.
        acts: The steps at which cross-attention is changed at all; on the host, so that nothing waits for a device.
        holds: The steps at which self-attention is carried over; the same.
    """

    carry: torch.Tensor
    fresh: torch.Tensor
    weights: torch.Tensor
    cross_steps: torch.Tensor
    acts: tuple[bool, ...]
    holds: tuple[bool, ...]

    def cross(self, source_probs: torch.Tensor, target_probs: torch.Tensor, step: int) -> torch.Tensor:
        """The target's edited cross-attention, `(heads, Q, K)`."""
        carried = carry_cross(source_probs, target_probs, self.carry, self.fresh)
        return reweight(torch.where(self.cross_steps[step], carried, target_probs), self.weights[step])


def lay_out(
    alignment: Alignment,
    sampled: range,
    *,
    cross_replace: Window | Mapping[str, Window],
    self_replace: Window,
    weights: Mapping[str, float],
    carry_swaps: bool,
    emphasis: float = 1.0,
    emphasis_window: Window = 1.0,
    device: torch.device | str = "cpu",
) -> WordEdits:
    """Lays out one edit.

    Args:
        alignment: The two captions.
        sampled: The steps that are, up to the schedule's last.
        cross_replace: When the source's cross-attention is carried over; a mapping gives target words a window of
            their own, and the others that of the key `default` (or all steps).
        self_replace: When its self-attention is.
        weights: Target words and what their attention is multiplied by; zero and negative numbers are allowed.
        carry_swaps: Whether a swapped word takes the old word's attention or finds its own.
        emphasis: What the new words' attention is multiplied by, where `weights` does not name them.
        emphasis_window: When weights and emphasis act.
        device: Where the tensors are.

    Raises:
        EditRealError: A window outside [0, 1], or a word that the new caption lacks.
    """
    target = alignment.target
    windows = dict(cross_replace) if isinstance(cross_replace, Mapping) else {"default": cross_replace}
    length = target.length
    cross_steps = steps_in(windows.pop("default", 1.0), sampled)[:, None].expand(-1, length).clone()
    for name, window in windows.items():
        cross_steps[:, _positions(target, name)] = steps_in(window, sampled)[:, None]
    scale = torch.ones(length)
    for word in new_words(alignment):
        scale[list(word.positions)] = float(emphasis)
    for name, weight in weights.items():
        scale[_positions(target, name)] = float(weight)
    by_step = torch.where(steps_in(emphasis_window, sampled)[:, None], scale, torch.ones(length))
    acts = cross_steps.any(1) | (by_step != 1).any(1)
    return WordEdits(
        carry=alignment.carry_matrix(swaps=carry_swaps).to(device),
        fresh=alignment.fresh_tokens(swaps=carry_swaps).to(device),
        weights=by_step.to(device),
        cross_steps=cross_steps.to(device),
        acts=tuple(acts.tolist()),
        holds=tuple(steps_in(self_replace, sampled).tolist()),
    )


class PromptToPrompt(Control):
    """The control of a whole batch of edits; the source's and the unconditional rows stay as they are."""

    def __init__(self, words: Sequence[WordEdits], sites: Sequence[Site]) -> None:
        self._words, self._rows = words, Rows(len(words))
        self._cross = [site for site in sites if site.kind == "cross"]
        self._self = [site for site in sites if site.kind == "self" and _holds_layout(site)]
        self._joint = [site for site in sites if site.kind == "joint"]

    def sites(self, step: int) -> Collection[Site]:
        acts, holds = any(one.acts[step] for one in self._words), any(one.holds[step] for one in self._words)
        return [
            *(self._cross if acts else []),
            *(self._self if holds else []),
            *(site for site in self._joint if acts or (holds and _holds_layout(site))),
        ]

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        if site.kind == "joint":
            return self._carry_both(site, query, key, value, step)
        edit = self._carry_words if site.kind == "cross" else self._carry_layout
        return edit(query, key, value, step)

    def _carry_words(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int) -> torch.Tensor:
        """Cross-attention: probabilities of the source and the targets are stored, since the edit is made of them."""
        source, cond = self._rows.source, self._rows.cond
        untouched = slice(0, cond.start)
        source_probs = attention_probs(query[source], key[source])[0]
        target_probs = attention_probs(query[cond], key[cond])
        edited = [
            words.cross(source_probs, probs, step) for words, probs in zip(self._words, target_probs, strict=True)
        ]
        kept = attention(query[untouched], key[untouched], value[untouched])
        return torch.cat([kept, gather(torch.stack(edited), value[cond])])

    def _carry_layout(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int) -> torch.Tensor:
        """Self-attention: the source's queries and keys with the targets' values, fused."""
        source_of = [0 if words.holds[step] else row for words, row in zip(self._words, self._cond_rows, strict=True)]
        rows = [*range(self._rows.cond.start), *source_of]
        return attention(query[rows], key[rows], value)

    def _carry_both(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        """Text and pixels in one softmax: words are carried among its words, the layout among its pixels.

        What share of its attention a pixel gives to either stays the target's own, so that rows sum to 1. Each half is
        worked out as it would be at a site of its own.
        """
        cond, words, pixels = self._rows.cond, slice(0, -site.cells), slice(-site.cells, None)
        share = pixels_share(query[cond], key[cond], site.cells)
        of_words = self._carry_words(query, key[:, :, words], value[:, :, words], step)[cond]
        among_pixels = query, key[:, :, pixels], value[:, :, pixels]
        of_pixels = self._carry_layout(*among_pixels, step) if _holds_layout(site) else attention(*among_pixels)
        kept = attention(*(part[: cond.start] for part in (query, key, value)))
        return torch.cat([kept, (1 - share) * of_words + share * of_pixels[cond]])

    @property
    def _cond_rows(self) -> range:
        return range(self._rows.cond.start, self._rows.cond.stop)


def replace(plans: Sequence[EditPlan], sites: Sequence[Site], device: torch.device) -> PromptToPrompt:
    """A swapped word takes the attention of the old word (equation 4)."""
    return _of_plans(plans, sites, device, carry_swaps=True)


def refine(plans: Sequence[EditPlan], sites: Sequence[Site], device: torch.device) -> PromptToPrompt:
    """A swapped word finds its own place (equation 5)."""
    return _of_plans(plans, sites, device, carry_swaps=False)


def _of_plans(
    plans: Sequence[EditPlan], sites: Sequence[Site], device: torch.device, *, carry_swaps: bool
) -> PromptToPrompt:
    words = [
        lay_out(
            plan.alignment,
            plan.sampled,
            cross_replace=with_default(plan.settings.cross_replace),
            self_replace=plan.settings.self_replace,
            weights=plan.settings.reweight,
            carry_swaps=carry_swaps,
            emphasis=plan.settings.emphasis,
            emphasis_window=plan.settings.emphasis_window,
            device=device,
        )
        for plan in plans
    ]
    return PromptToPrompt(words, sites)


EVERYONE_ELSE: dict[str, Any] = {"default": EditSettings.cross_replace}


def with_default(windows: Window | Mapping[str, Window]) -> Window | Mapping[str, Window]:
    """Words' own windows with one for all other words: the setting's default, where the user names none."""
    return {**EVERYONE_ELSE, **windows} if isinstance(windows, Mapping) else windows


def _holds_layout(site: Site) -> bool:
    return site.share <= SELF_SHARE or site.side <= LEAST_SELF_SIDE


def _positions(caption: Caption, name: str) -> list[int]:
    return [position for word in caption.find(name) for position in word.positions]
