"""Second thoughts: an edit whose verdict is bad is made again with other settings, and the best is taken."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from editing.kind import POLICY, fill_in
from editing.plan import EditPlan
from editing.result import Attempt, EditResult
from editing.settings import EditSettings

Make = Callable[[Sequence[EditPlan]], list[EditResult]]
"""Samples plans in one batch and finishes them."""

PROMPT_TO_PROMPT = ("replace", "refine")
OF_PROMPT_TO_PROMPT = ("emphasis", "emphasis_window", "self_replace", "cross_replace")
"""Settings that act with these controls alone."""

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
    {"mask_rule": "midrange"},
    {"mask_rule": "midrange", "mask_threshold": 0.65},
    {"mask_rule": "midrange", "emphasis": 1.5},
)
WIDER: tuple[Mapping[str, Any], ...] = ({"mask_threshold": 0.25}, {"mask_threshold": 0.1})

NEXT: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "faint": {"thing": FREER, "added": FREER, "default": STRONGER},
    "wide": {"default": STRICTER},
    "empty": {"default": WIDER},
}
"""By what went wrong, see `verdict.trouble_of`, and by the kind of edit: what is tried one after another."""

GAIN = 0.1  # of `worth`, that a later attempt must bring, since it goes further from the photo


def make_with_second_thoughts(make: Make, plans: Sequence[EditPlan]) -> list[EditResult]:
    """The best attempt at each of a batch of edits; those that need no other are made once, all together.

    Only settings of the edit change from one attempt to the next, so that the inversion serves them all.
    """
    firsts = make(plans)
    return [
        first if plan.settings.attempts == 1 else _best(make, plan, first)
        for plan, first in zip(plans, firsts, strict=True)
    ]


def _best(make: Make, plan: EditPlan, first: EditResult) -> EditResult:
    changes: list[Mapping[str, Any]] = [{}]
    results = [first]
    tried = {_acting(plan.settings)}
    for change in _to_try(plan, first):
        settings = fill_in(plan.asked, {**POLICY.get(plan.kind, {}), **change})
        if len(results) == plan.settings.attempts or results[-1].trouble is None:
            break
        if _acting(settings) in tried:  # what would change was set by hand, or does nothing here
            continue
        tried.add(_acting(settings))
        changes.append(change)
        results += make([_once(plan, settings)])
    attempts = tuple(
        Attempt(dict(change), result.metrics, result.warnings) for change, result in zip(changes, results, strict=True)
    )
    return dataclasses.replace(best_of(results), attempts=attempts)


def _to_try(plan: EditPlan, first: EditResult) -> Sequence[Mapping[str, Any]]:
    """What is tried next, by what went wrong first."""
    if first.trouble is None or (plan.alignment.changes_nothing and not plan.settings.reweight):
        return ()
    by_kind = NEXT[first.trouble]
    return by_kind.get(plan.kind, by_kind["default"])


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
    """The plan with other settings and no attempts beyond, so that its recipe makes that very one again."""
    return dataclasses.replace(plan, settings=dataclasses.replace(settings, attempts=1))
