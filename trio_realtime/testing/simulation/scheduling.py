"""Deterministic scheduling: the same seed runs the same tasks in the same order.

Trio shuffles the tasks that are ready at the same time. Its private hooks for Hypothesis make the
order a function of a seed. A version of trio without these hooks runs simulations too, but a failure
may need several runs to appear again.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

__all__ = ["run_seeded", "scheduling_is_deterministic"]

T = TypeVar("T")

_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"
_RANDOM = "_r"


def _scheduler() -> dict[str, Any] | None:
    """Return the variables of trio's scheduler, or ``None`` if this version has other ones."""
    try:
        names = vars(importlib.import_module("trio._core._run"))
    except ImportError:
        return None
    known = isinstance(names.get(_RANDOM), random.Random) and isinstance(names.get(_SWITCH), bool)
    return names if known else None


def scheduling_is_deterministic() -> bool:
    """Return whether the installed version of trio can run tasks in a seeded order."""
    return _scheduler() is not None


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    scheduler = _scheduler()
    if scheduler is None:
        yield
        return
    generator, switch = scheduler[_RANDOM], scheduler[_SWITCH]
    state = generator.getstate()
    generator.seed(seed)
    scheduler[_SWITCH] = True
    try:
        yield
    finally:
        scheduler[_SWITCH] = switch
        generator.setstate(state)


def run_seeded(seed: int, async_fn: Callable[..., Awaitable[T]], *args: object) -> T:
    """Call ``trio.run`` on a virtual clock, with an order of tasks that depends only on the seed.

    Args:
        seed: The seed of the order.
        async_fn: The async function to run.
        *args: Its positional arguments.

    Returns:
        The return value of ``async_fn``. Its exceptions are propagated.
    """
    with _seeded(seed):
        return trio.run(async_fn, *args, clock=MockClock(autojump_threshold=0))
