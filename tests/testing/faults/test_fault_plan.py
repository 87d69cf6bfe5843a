"""Faults as values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trio_realtime.testing.faults import (
    Close,
    Delay,
    Drop,
    Duplicate,
    Elapsed,
    FailDial,
    FaultPlan,
    Freeze,
    Garbage,
    Incoming,
    Inject,
    OneWay,
    Outgoing,
    Oversize,
    SlowDial,
    SlowReader,
    Trickle,
    Truncate,
)


def test_faults_of_a_dial_come_before_those_of_every_dial() -> None:
    plan = FaultPlan([Drop(), [Close(), FailDial()]], every=Delay(1))
    assert plan.faults_of(1) == (Drop(), Delay(1))
    assert plan.faults_of(2) == (Close(), FailDial(), Delay(1))
    assert plan.faults_of(3) == (Delay(1),)
    assert FaultPlan().faults_of(1) == ()


def test_plans_are_values() -> None:
    assert FaultPlan([Drop(Incoming(3))]) == FaultPlan([[Drop(Incoming(3))]])
    assert len({FaultPlan([Drop()]), FaultPlan([Drop()]), FaultPlan([Close()])}) == 2


@pytest.mark.parametrize("fault", ["drop", [Incoming()], 3])
def test_something_else_is_not_a_fault(fault: Any) -> None:
    with pytest.raises(TypeError):
        FaultPlan([fault])


@pytest.mark.parametrize(
    "create",
    [
        lambda: Incoming(0),
        lambda: Outgoing(1, moment="later"),  # type: ignore[arg-type]
        lambda: Elapsed(-1),
        lambda: Close(1006),
        lambda: Close(999),
        lambda: Freeze(direction="up"),  # type: ignore[arg-type]
        lambda: Freeze(duration=0),
        lambda: OneWay("both"),  # type: ignore[arg-type]
        lambda: Delay(-1),
        lambda: Trickle(0),
        lambda: SlowReader(0),
        lambda: SlowReader(1, buffer=-1),
        lambda: SlowDial(-1),
        lambda: Duplicate(Incoming(), copies=0),
        lambda: Duplicate(Incoming(moment="before")),
        lambda: Garbage(Incoming(moment="mid_frame")),
        lambda: Oversize(Incoming(), size=1),
    ],
)
def test_invalid_values_are_rejected(create: Callable[[], object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - attrs writes most of the messages
        create()


@pytest.mark.parametrize(
    "create",
    [
        lambda: Garbage(Elapsed(1)),  # type: ignore[arg-type]
        lambda: Truncate(None),  # type: ignore[arg-type]
        lambda: Duplicate(Elapsed(1)),  # type: ignore[arg-type]
        lambda: Inject(b"\x00", Outgoing()),
    ],
)
def test_faults_of_frames_need_a_frame(create: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        create()
