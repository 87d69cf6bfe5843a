"""Deterministic scheduling: the same seed runs the same tasks in the same order.

Trio shuffles the tasks that are ready at the same time. Its private hooks for Hypothesis make the
order a function of a seed. A version of trio without these hooks runs simulations too, but a failure
may need several runs to appear again.
"""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import trio
from trio.testing import MockClock

__all__ = ["Deadlock", "run_seeded", "scheduling_is_deterministic"]

T = TypeVar("T")

_MAX_IDLE_STEPS: Final = 10_000
_MAX_READINGS: Final = 300_000
_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"
_RANDOM = "_r"


class Deadlock(Exception):
    """All tasks wait, and no deadline will wake any of them; or tasks run, and no time passes."""


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

    Raises:
        Deadlock: All tasks wait, and nothing will wake any of them; or they run without end while no
            time passes. The tasks are abandoned.
    """
    clock = MockClock(autojump_threshold=0)
    # On the instance, because the class is final, and trio recognizes its clock by identity.
    vars(clock)["deadline_to_sleep_time"] = _noticing_deadlocks(clock.deadline_to_sleep_time)
    vars(clock)["current_time"] = _noticing_livelocks(clock.current_time)
    with _seeded(seed):
        try:
            return trio.run(async_fn, *args, clock=clock)
        except trio.TrioInternalError as error:
            if isinstance(error.__cause__, Deadlock):
                raise error.__cause__ from None
            raise


def _noticing_livelocks(original: Callable[[], float]) -> Callable[[], float]:
    """Raise where tasks run without end while no time passes."""
    latest, readings = -1.0, 0

    def current_time() -> float:
        nonlocal latest, readings
        now = original()
        readings = readings + 1 if now == latest else 0
        latest = now
        if readings > _MAX_READINGS:
            raise Deadlock("tasks run without end while no time passes")
        return now

    return current_time


def _noticing_deadlocks(original: Callable[[float], float]) -> Callable[[float], float]:
    """Raise where trio would wait forever, which takes all processor time on a virtual clock."""
    idle = 0

    def sleep_time(deadline: float) -> float:
        nonlocal idle
        idle = idle + 1 if math.isinf(deadline) else 0
        if idle > _MAX_IDLE_STEPS:
            raise Deadlock("all tasks wait, and no deadline will wake any of them")
        return original(deadline)

    return sleep_time
