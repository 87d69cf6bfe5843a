"""A nursery that nobody sees: what comes out of its block, and what does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from trio_realtime._nursery import leaves_of, open_bare_nursery


class Bug(Exception):
    pass


async def leave_with(
    own: BaseException | None, *tasks: Callable[[], Awaitable[object]], wait: bool = False
) -> None:
    async with open_bare_nursery(Bug) as nursery:
        for task in tasks:
            nursery.start_soon(task)
        if tasks:
            await trio.testing.wait_all_tasks_blocked()
        if wait:
            await trio.sleep_forever()
        if own is not None:
            raise own


async def test_leaving_the_block_ends_its_tasks() -> None:
    ended: list[str] = []

    async def serve() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("served")

    async with open_bare_nursery(Bug) as nursery:
        nursery.start_soon(serve)
        await trio.testing.wait_all_tasks_blocked()
    assert ended == ["served"]


async def test_the_exception_of_the_block_comes_out_as_it_was() -> None:
    own = ValueError("mine")
    own.__context__ = KeyError("before it")
    with pytest.raises(ValueError, match="mine") as caught:
        await leave_with(own, trio.sleep_forever)
    assert caught.value is own
    assert isinstance(own.__context__, KeyError)
    assert own.__cause__ is None


async def test_a_group_that_the_block_raised_stays_that_group() -> None:
    own = ExceptionGroup("mine", [ValueError(), KeyError()])
    with pytest.raises(ExceptionGroup) as caught:
        await leave_with(own, trio.sleep_forever)
    assert caught.value is own


async def test_a_crashed_task_is_a_bug_with_the_group_as_its_cause() -> None:
    failure = LookupError("in the background")

    async def fail() -> None:
        raise failure

    with pytest.raises(Bug, match="in the background") as caught:
        await leave_with(None, fail, wait=True)
    assert isinstance(caught.value.__cause__, BaseExceptionGroup)
    assert failure in leaves_of(caught.value.__cause__)


async def test_a_crash_hides_no_exception_of_the_block() -> None:
    own, failure = ValueError("mine"), LookupError("theirs")

    async def fail_late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise failure

    with pytest.raises(Bug) as caught:
        await leave_with(own, fail_late)
    cause = caught.value.__cause__
    assert cause is not None
    assert {own, failure} <= set(leaves_of(cause))


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(3)])
async def test_an_exit_is_nobodys_bug(stop: BaseException) -> None:
    async def fail() -> None:
        raise stop

    with pytest.raises(type(stop)) as caught:
        await leave_with(None, fail, wait=True)
    assert caught.value is stop


async def test_an_outer_cancel_stays_a_cancel() -> None:
    with trio.CancelScope() as outer:
        outer.cancel()
        await leave_with(None, trio.sleep_forever, wait=True)
    assert outer.cancelled_caught


async def test_an_outer_cancel_hides_no_exception_of_the_block() -> None:
    with trio.CancelScope() as outer:
        outer.cancel()
        with pytest.raises(ValueError, match="mine"):
            await leave_with(ValueError("mine"))


def test_leaves_come_in_order_from_any_depth() -> None:
    one, two, three = ValueError("1"), KeyboardInterrupt(), TypeError("3")
    deep = BaseExceptionGroup("", [one, BaseExceptionGroup("", [two, three])])
    assert list(leaves_of(deep)) == [one, two, three]
    assert list(leaves_of(one)) == [one]


async def test_a_cancel_that_meets_only_the_tasks_stays_a_cancel() -> None:
    with trio.CancelScope() as outer:
        async with open_bare_nursery(Bug) as nursery:
            nursery.start_soon(trio.sleep_forever)
            outer.cancel()
    assert outer.cancelled_caught
