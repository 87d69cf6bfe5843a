"""A failure in a tool that is cancelled at the same time is not lost."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import open_test_session
from trio_realtime import events, function_tool
from trio_realtime.testing import ScriptedPeer


async def fail_in_cleanup() -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise ValueError("cleanup failed")


async def run_two_tasks() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail_in_cleanup)
        nursery.start_soon(trio.sleep_forever)


async def test_a_failure_during_an_interruption_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    tool = function_tool(name="tool")(run_two_tasks)
    peer = ScriptedPeer()
    async with open_test_session(peer, tool) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "tool")
        await wait_all_tasks_blocked()
        await session.interrupt()
    assert "cleanup failed" in caplog.text


async def test_a_failure_during_a_timeout_is_the_failure_of_the_call(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    tool = function_tool(name="tool", timeout=2)(run_two_tasks)
    peer = ScriptedPeer()
    async with open_test_session(peer, tool) as session:
        with session.subscribe(events.ToolEnd) as ends:
            peer.begin_response("resp_1")
            peer.call("resp_1", "item_1", "call_1", "tool")
            end = await ends.receive()
    assert end.outcome == "failed"
    assert isinstance(end.error, ExceptionGroup)
    assert "cleanup failed" in caplog.text
