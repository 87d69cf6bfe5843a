"""Whatever user code raises, the session continues."""

from __future__ import annotations

import asyncio  # noqa: TID251 - tools that wrap asyncio code may raise its exceptions
from typing import NoReturn

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.service import accept_create, send_call_and_wait, start_call
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_outputs, sent_types
from trio_realtime import events, function_tool
from trio_realtime.testing import ScriptedPeer


class UnrelatedBaseException(BaseException):
    """Neither an ``Exception`` nor one of trio's or the interpreter's own."""


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise self


@pytest.mark.parametrize(
    "failure",
    [
        asyncio.CancelledError(),
        pytest.fail.Exception("failed inside a tool"),
        UnrelatedBaseException("odd"),
        UnprintableError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_every_kind_of_exception_of_a_tool_is_an_answer(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    @function_tool
    async def odd() -> NoReturn:
        raise failure

    peer = ScriptedPeer()
    async with open_test_session(peer, odd) as session:
        await start_call(peer, "odd")
        peer.end_response("resp_1")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        ((_, output),) = sent_outputs(peer)
        (ended,) = drain_events(session.events, events.ToolEnd)
    assert output.startswith(f"Tool odd failed: {type(failure).__name__}")
    assert ended.outcome == "failed"
    assert ended.error is failure


async def test_exception_group_of_a_tool_is_an_answer(autojump_clock: MockClock) -> None:
    @function_tool
    async def both() -> None:
        """Run two child tasks, one of which fails."""

        async def breaks() -> None:
            raise LookupError("nothing there")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(breaks)

    peer = ScriptedPeer()
    async with open_test_session(peer, both):
        await send_call_and_wait(peer, "both")
        ((_call_id, output),) = sent_outputs(peer)
        assert output.startswith("Tool both failed")
        assert await sent_types(peer) == [ITEM, CREATE]


async def test_exception_group_of_a_cancelled_tool_is_an_answer(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def messy() -> None:
        """Run a child task that fails when it is cancelled."""

        async def child() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("broken pipe")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(trio.sleep_forever)

    peer = ScriptedPeer()
    async with open_test_session(peer, messy) as session:
        await send_call_and_wait(peer, "messy")
        await session.interrupt()
        await wait_all_tasks_blocked()
        ((call_id, _output),) = sent_outputs(peer)
        assert call_id == "call_1"
        await session.send_message("Go on.")
        assert (await sent_types(peer))[-1] == CREATE
