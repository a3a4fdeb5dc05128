"""Second thoughts: an edit in doubt is made again with other settings, and the best attempt is taken."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from editing.batches import in_batches
from editing.controls import PROMPT_TO_PROMPT
from editing.kind import fill_in, policy_of
from editing.plan import EditPlan
from editing.result import Attempt, EditResult
from editing.settings import EditSettings

Make = Callable[[Sequence[EditPlan]], list[EditResult]]
"""Samples plans in one batch and finishes them."""

OF_PROMPT_TO_PROMPT = ("emphasis", "emphasis_window", "self_replace", "cross_replace")
"""Settings that act with the controls of prompt-to-prompt alone."""

STRONGER: tuple[Mapping[str, Any], ...] = (
    {"emphasis": 3.0, "self_replace": 0.2},
    {"emphasis": 4.0, "self_replace": 0.2},
    {"emphasis": 4.0, "self_replace": 0.0, "cross_replace": 0.4},
)
FREER: tuple[Mapping[str, Any], ...] = (
    {"self_replace": 0.2, "cross_replace": 0.4},
    {"self_replace": 0.0, "cross_replace": 0.2},
    {"control": "refine", "self_replace": 0.2},
)
STRICTER: tuple[Mapping[str, Any], ...] = (
    {"mask_threshold": 0.65},
    {"mask_threshold": 0.8},
    {"mask_threshold": 0.65, "emphasis": 1.5},
)
WIDER: tuple[Mapping[str, Any], ...] = ({"mask_threshold": 0.25}, {"mask_threshold": 0.1})

NEXT: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "faint": {"thing": FREER, "added": FREER, "default": STRONGER},
    "wide": {"default": STRICTER},
    "empty": {"default": WIDER},
}
"""By what is in doubt, see `EditResult.doubt`, and by the kind of edit: what is tried one after another.

A mask that does not fit its map (`unsure`) is not here: other settings made no better ones on train photos.
"""

GAIN = 0.1  # of `worth`, that a later attempt must bring, since it goes further from the photo


def make_with_second_thoughts(make: Make, plans: Sequence[EditPlan]) -> list[EditResult]:
    """The best attempt at each of a batch of edits; those that need another one are made again together.

    Only settings of the edit change from one attempt to the next, so that the inversion serves them all.
    """
    edits = [Tries(plan, [first]) for plan, first in zip(plans, make(plans), strict=True)]
    while again := [(edit, plan) for edit in edits if (plan := edit.next_plan())]:
        some, next_plans = zip(*sorted(again, key=lambda one: one[1].settings.control), strict=True)
        results = [result for batch in in_batches(next_plans, len(next_plans)) for result in make(batch)]
        for edit, result in zip(some, results, strict=True):
            edit.results.append(result)
    return [edit.best() for edit in edits]


@dataclass(eq=False)
class Tries:
    """The attempts at one edit.

    Attributes:
        plan: Of the first.
        results: Of those that were made.
        changes: What each of them changed of the settings.
    """

    plan: EditPlan
    results: list[EditResult]
    changes: list[Mapping[str, Any]] = field(default_factory=lambda: [{}])

    def __post_init__(self) -> None:
        self._left = _to_try(self.plan, self.results[0])
        self._tried = {_acting(self.plan.settings)}

    def next_plan(self) -> EditPlan | None:
        """Of another attempt; None where the last has nothing that one can mend, or no more are allowed, or left."""
        if len(self.results) == self.plan.settings.attempts or self.results[-1].doubt not in NEXT:
            return None
        for change in self._left:
            settings = fill_in(self.plan.asked, {**policy_of(self.plan.kind, self.plan.asked), **change})
            if _acting(settings) not in self._tried:  # else what would change was set by hand, or does nothing here
                self._tried.add(_acting(settings))
                self.changes.append(change)
                return _once(self.plan, settings)
        return None

    def best(self) -> EditResult:
        """The best of the attempts, with what all of them came to; one that was to stay alone just as it is."""
        if self.plan.settings.attempts == 1:
            return self.results[0]
        attempts = tuple(
            Attempt(dict(change), result.metrics, result.warnings)
            for change, result in zip(self.changes, self.results, strict=True)
        )
        return dataclasses.replace(best_of(self.results), attempts=attempts)


def _to_try(plan: EditPlan, first: EditResult) -> Iterator[Mapping[str, Any]]:
    """What is tried next, by what was in doubt first."""
    if (
        first.doubt is None
        or first.doubt not in NEXT
        or (plan.alignment.changes_nothing and not plan.settings.reweight)
    ):
        return
    if first.doubt == "empty" and plan.region.is_held_back:  # which no threshold overrules
        return
    by_kind = NEXT[first.doubt]
    yield from by_kind.get(plan.kind, by_kind["default"])


def _acting(settings: EditSettings) -> EditSettings:
    """The settings with those at their defaults that do nothing under their control, so that like edits are equal."""
    if settings.control in PROMPT_TO_PROMPT:
        return settings
    plain = EditSettings()
    return dataclasses.replace(settings, **{name: getattr(plain, name) for name in OF_PROMPT_TO_PROMPT})


def best_of(results: Sequence[EditResult]) -> EditResult:
    """The first of the attempts that is as good as any, but for less than `GAIN`."""
    sound, most = max(map(worth, results))
    return next(result for result in results if worth(result) >= (sound, most - GAIN))


def worth(result: EditResult) -> tuple[bool, float]:
    """How good an attempt is: one without trouble before one with, then by its trust, or by what is seen without it."""
    value = result.metrics["seen"] if result.trust is None else result.trust
    return result.trouble is None, -math.inf if math.isnan(value) else value


def _once(plan: EditPlan, settings: Any) -> EditPlan:
    """The plan with other settings and no attempts beyond, so that its recipe makes that very one again.

    What the first was made in, the whole photo or a part that the recipe names, no other threshold shall choose anew.
    """
    closer = plan.settings.closer if settings.mask_threshold == plan.settings.mask_threshold else 0.0
    return dataclasses.replace(plan, settings=dataclasses.replace(settings, attempts=1, closer=closer))
