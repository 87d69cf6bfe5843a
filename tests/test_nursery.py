"""The nursery that raises exceptions without wrapping them in groups."""

from __future__ import annotations

import gc
import traceback
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest
import trio
import trio.testing

from trio_realtime._nursery import (
    OnDemandTask,
    leaves_of,
    open_bare_nursery,
    start_soon_in_this_context,
)

STARTED_BY: ContextVar[str] = ContextVar("started_by", default="nobody")


class Bug(Exception):
    pass


async def run_block(
    block_exc: BaseException | None, *tasks: Callable[[], Awaitable[object]], wait: bool = False
) -> None:
    async with open_bare_nursery(Bug) as nursery:
        for task in tasks:
            nursery.start_soon(task)
        if tasks:
            await trio.testing.wait_all_tasks_blocked()
        if wait:
            await trio.sleep_forever()
        if block_exc is not None:
            raise block_exc


async def test_leaving_the_block_cancels_its_tasks() -> None:
    ended: list[str] = []

    async def serve() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("task")

    async with open_bare_nursery(Bug) as nursery:
        nursery.start_soon(serve)
        await trio.testing.wait_all_tasks_blocked()
    assert ended == ["task"]


async def test_the_exception_of_the_block_is_raised_unchanged() -> None:
    block_exc = ValueError("from the block")
    block_exc.__context__ = KeyError("before it")
    with pytest.raises(ValueError, match="from the block") as caught:
        await run_block(block_exc, trio.sleep_forever)
    assert caught.value is block_exc
    assert isinstance(block_exc.__context__, KeyError)
    assert block_exc.__cause__ is None


async def test_the_exception_of_the_block_keeps_its_traceback_and_is_no_garbage() -> None:
    class Left(Exception):
        pass

    async def leave() -> None:
        async with open_bare_nursery(Bug):
            await trio.lowlevel.checkpoint()
            raise Left

    gc.disable()
    try:
        try:
            await leave()
        except Left as exc:
            frames = [frame.name for frame in traceback.extract_tb(exc.__traceback__)]
            raised = weakref.ref(exc)
        assert frames[1:] == ["leave"]
        assert raised() is None
    finally:
        gc.enable()


async def test_a_block_may_raise_stop_iteration() -> None:
    with pytest.raises(StopIteration):
        async with open_bare_nursery(Bug):
            raise StopIteration


async def test_a_group_raised_by_the_block_is_raised_unchanged() -> None:
    block_exc = ExceptionGroup("from the block", [ValueError(), KeyError()])
    with pytest.raises(ExceptionGroup) as caught:
        await run_block(block_exc, trio.sleep_forever)
    assert caught.value is block_exc


async def test_a_crashed_task_is_a_bug_with_the_group_as_its_cause() -> None:
    failure = LookupError("in the background")

    async def fail() -> None:
        raise failure

    with pytest.raises(Bug, match="in the background") as caught:
        await run_block(None, fail, wait=True)
    assert isinstance(caught.value.__cause__, BaseExceptionGroup)
    assert failure in leaves_of(caught.value.__cause__)


async def test_a_crash_does_not_hide_the_exception_of_the_block() -> None:
    block_exc, failure = ValueError("from the block"), LookupError("from a task")

    async def fail_late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise failure

    with pytest.raises(Bug) as caught:
        await run_block(block_exc, fail_late)
    cause = caught.value.__cause__
    assert cause is not None
    assert {block_exc, failure} <= set(leaves_of(cause))


@pytest.mark.parametrize("exit_exc", [KeyboardInterrupt(), SystemExit(3)])
async def test_an_exit_is_not_a_bug(exit_exc: BaseException) -> None:
    async def fail() -> None:
        raise exit_exc

    with pytest.raises(type(exit_exc)) as caught:
        await run_block(None, fail, wait=True)
    assert caught.value is exit_exc


async def test_an_outer_cancellation_is_preserved() -> None:
    with trio.CancelScope() as outer:
        outer.cancel()
        await run_block(None, trio.sleep_forever, wait=True)
    assert outer.cancelled_caught


async def test_an_outer_cancellation_does_not_hide_the_exception_of_the_block() -> None:
    with trio.CancelScope() as outer:
        outer.cancel()
        with pytest.raises(ValueError, match="from the block"):
            await run_block(ValueError("from the block"))


def test_leaves_are_yielded_in_order_from_any_depth() -> None:
    one, two, three = ValueError("1"), KeyboardInterrupt(), TypeError("3")
    deep = BaseExceptionGroup("", [one, BaseExceptionGroup("", [two, three])])
    assert list(leaves_of(deep)) == [one, two, three]
    assert list(leaves_of(one)) == [one]


async def test_a_cancellation_that_reaches_only_the_tasks_is_preserved() -> None:
    with trio.CancelScope() as outer:
        async with open_bare_nursery(Bug) as nursery:
            nursery.start_soon(trio.sleep_forever)
            outer.cancel()
    assert outer.cancelled_caught


@pytest.mark.parametrize("attached_first", [True, False])
async def test_a_task_on_demand_starts_once_when_it_is_needed(attached_first: bool) -> None:
    task, started = OnDemandTask(), list[int]()
    if attached_first:
        task.attach(lambda: started.append(1), is_needed=False)
        assert started == []
        assert task.start()
    else:
        assert task.start()
        assert started == []
        task.attach(lambda: started.append(1), is_needed=True)
    assert started == [1]

    assert task.start()
    assert started == [1]


async def test_a_task_on_demand_that_was_stopped_does_not_start() -> None:
    task, started = OnDemandTask(), list[int]()
    task.attach(lambda: started.append(1), is_needed=False)
    task.stop()

    assert not task.start()
    task.attach(lambda: started.append(2), is_needed=True)
    assert started == []


async def test_tasks_inherit_the_context_variables_of_the_moment_that_was_chosen() -> None:
    seen: list[tuple[str, str | None]] = []

    async def look(word: str) -> None:
        seen.append((STARTED_BY.get(), word))
        assert trio.lowlevel.current_task().name == "observer"

    async def tool(nursery: trio.Nursery) -> None:
        STARTED_BY.set("the tool")
        start_soon(look, "later", name="observer")

    async with trio.open_nursery() as nursery:
        STARTED_BY.set("the session")
        start_soon = start_soon_in_this_context(nursery)
        STARTED_BY.set("somebody else")
        nursery.start_soon(tool, nursery)
    assert seen == [("the session", "later")]
