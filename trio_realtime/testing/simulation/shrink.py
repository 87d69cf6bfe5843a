"""Shrink a plan that breaks an invariant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from .plan import Plan, Settings
from .run import run_plan
from .websockets import TransportName

__all__ = ["shrink_plan"]

_PARTS: Final = ("actions", "replies", "checks", "decisions", "consumers")


def _same_invariant(plan: Plan, transport: TransportName) -> Callable[[Plan], bool]:
    """Return a function that says whether a plan breaks the invariant that this one breaks."""
    expected = run_plan(plan, transport).violation

    def fails(smaller: Plan) -> bool:
        found = run_plan(smaller, transport).violation
        return found is not None and expected is not None and found.number == expected.number

    return fails


def shrink_plan(
    plan: Plan,
    fails: Callable[[Plan], bool] | None = None,
    *,
    transport: TransportName = "memory",
    max_runs: int = 500,
) -> Plan:
    """Return the smallest plan found that still fails.

    Parts are left out: all of one kind, then halves, then one by one. Settings are set to their defaults.
    This goes on until nothing more can be left out.

    Args:
        plan: A plan that fails.
        fails: Says whether a plan fails; by default, whether it breaks the same invariant.
        transport: What the sessions of the default connect with.
        max_runs: The number of plans to try.
    """
    fails = _same_invariant(plan, transport) if fails is None else fails
    runs = 0
    tried = {plan.describe()}
    shrinking = True
    while shrinking:
        shrinking = False
        for smaller in _smaller(plan):
            if runs >= max_runs:
                return plan
            if smaller.size >= plan.size or smaller.describe() in tried:
                continue
            runs += 1
            tried.add(smaller.describe())
            if fails(smaller):
                plan = smaller
                shrinking = True
                break
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Yield plans with fewer parts, those that leave out most first."""
    for name in _PARTS:
        if getattr(plan, name):
            yield _with(plan, name, ())
    for name in _PARTS:
        yield from _without_chunks(plan, name)
    for index, reply in enumerate(plan.replies):
        for step in range(len(reply)):
            shorter = reply[:step] + reply[step + 1 :]
            yield _with(plan, "replies", _replaced(plan.replies, index, shorter))
    yield from _simpler_actions(plan)
    yield from _simpler_settings(plan)


def _without_chunks(plan: Plan, name: str) -> Iterator[Plan]:
    parts: tuple[Any, ...] = getattr(plan, name)
    size = len(parts) // 2
    while size:
        for start in range(0, len(parts), size):
            yield _with(plan, name, parts[:start] + parts[start + size :])
        size //= 2


def _simpler_actions(plan: Plan) -> Iterator[Plan]:
    for index, action in enumerate(plan.actions):
        if action.cancel_after is not None:
            plain = attrs.evolve(action, cancel_after=None)
            yield _with(plan, "actions", _replaced(plan.actions, index, plain))


def _simpler_settings(plan: Plan) -> Iterator[Plan]:
    default = Settings()
    for field in attrs.fields(Settings):
        value = getattr(default, field.name)
        if getattr(plan.settings, field.name) != value:
            settings: Any = attrs.evolve(plan.settings, **{field.name: value})
            yield _with(plan, "settings", settings)


def _with(plan: Plan, name: str, value: Any) -> Plan:
    changes: dict[str, Any] = {name: value}
    return attrs.evolve(plan, **changes)


def _replaced(parts: tuple[Any, ...], index: int, part: Any) -> tuple[Any, ...]:
    return (*parts[:index], part, *parts[index + 1 :])
