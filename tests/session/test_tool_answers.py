"""Every call is answered exactly once, also one that cannot be run or that fails."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from support.events import drain_events
from support.service import send_call_and_wait
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_outputs, sent_types
from trio_realtime import events, function_tool
from trio_realtime.testing import ScriptedPeer


async def test_an_unknown_tool_is_answered_and_the_model_may_try_again(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await send_call_and_wait(peer, "no_such_tool")
        assert sent_outputs(peer) == [("call_1", "Tool no_such_tool not found.")]
        assert await sent_types(peer) == [ITEM, CREATE]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.tool, end.outcome) == (None, "unknown")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"amount": ', "truncated"),
        ("not json", "malformed"),
        ("[]", "object"),
        ("null", "object"),
        ('{"amount": "five"}', "amount"),
        ('{"amount": 1.5}', "int"),
        ("{}", "amount"),
        ('{"amount": 5, "surprise": 1}', "surprise"),
        ('{"amount": NaN}', "malformed"),
    ],
)
async def test_wrong_arguments_are_answered_with_what_is_wrong(
    arguments: str, says: str, autojump_clock: MockClock
) -> None:
    runs: list[int] = []

    @function_tool
    async def pay(amount: int) -> None:
        """Pay."""
        runs.append(amount)

    peer = ScriptedPeer()
    async with open_test_session(peer, pay) as session:
        await send_call_and_wait(peer, "pay", arguments)
        ((_call_id, output),) = sent_outputs(peer)
        assert "pay" in output
        assert says in output
        assert runs == []
        assert await sent_types(peer) == [ITEM, CREATE]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "failed"


async def test_a_tool_that_raises_is_answered_and_the_session_goes_on(
    autojump_clock: MockClock,
) -> None:
    """D9."""

    @function_tool
    async def divide(by: int) -> float:
        """Divide one."""
        return 1 / by

    peer = ScriptedPeer()
    async with open_test_session(peer, divide) as session:
        await send_call_and_wait(peer, "divide", '{"by": 0}')
        ((_call_id, output),) = sent_outputs(peer)
        assert "ZeroDivisionError: division by zero" in output
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "failed"
        assert await sent_types(peer) == [ITEM, CREATE]
        await session.send_message("Try two.")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]


async def test_what_a_nursery_of_a_tool_raises_is_answered_too(autojump_clock: MockClock) -> None:
    @function_tool
    async def both() -> None:
        """Two things at once, one of which breaks."""

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


async def test_a_result_that_is_no_json_is_told_in_words(autojump_clock: MockClock) -> None:
    class Thing:
        def __str__(self) -> str:
            return "a thing"

    @function_tool
    async def get() -> Any:
        """Get it."""
        return {"it": Thing()}

    peer = ScriptedPeer()
    async with open_test_session(peer, get):
        await send_call_and_wait(peer, "get")
        assert sent_outputs(peer) == [("call_1", '{"it":"a thing"}')]


async def test_a_result_that_breaks_when_it_is_told_is_still_answered(
    autojump_clock: MockClock,
) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("cannot be told")

        __repr__ = __str__

    @function_tool
    async def get() -> Any:
        """Get it."""
        return Broken()

    peer = ScriptedPeer()
    async with open_test_session(peer, get) as session:
        await send_call_and_wait(peer, "get")
        ((call_id, _output),) = sent_outputs(peer)
        assert call_id == "call_1"
        await session.send_message("Still here?")
        assert (await sent_types(peer))[0] == ITEM


async def test_a_tool_that_takes_too_long_is_stopped_and_answered_so(
    autojump_clock: MockClock,
) -> None:
    stopped: list[float] = []

    @function_tool(timeout=2)
    async def slow() -> None:
        """Too slow."""
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(trio.current_time())

    peer = ScriptedPeer()
    async with open_test_session(peer, slow) as session:
        began = trio.current_time()
        await send_call_and_wait(peer, "slow")
        await trio.sleep(1.9)
        assert sent_outputs(peer) == []
        await trio.sleep(0.2)
        assert stopped == [pytest.approx(began + 2)]
        assert sent_outputs(peer) == [("call_1", "Tool slow timed out after 2 seconds.")]
        assert await sent_types(peer) == [ITEM, CREATE]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "timed_out"


async def test_a_timeout_inside_a_tool_is_the_tools_own_failure(
    autojump_clock: MockClock,
) -> None:
    @function_tool(timeout=10)
    async def impatient() -> None:
        """Gives up by itself."""
        with trio.fail_after(1):
            await trio.sleep_forever()

    peer = ScriptedPeer()
    async with open_test_session(peer, impatient) as session:
        await send_call_and_wait(peer, "impatient")
        await trio.sleep(2)
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "failed"
        assert "TooSlowError" in end.output_text


async def test_what_a_tool_raised_is_kept_and_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    @function_tool
    async def fail() -> None:
        raise LookupError("lost")

    peer = ScriptedPeer()
    async with open_test_session(peer, fail) as session:
        with session.subscribe(events.ToolEnd) as ends:
            peer.begin_response("resp_1")
            peer.call("resp_1", "item_1", "call_1", "fail")
            peer.end_response("resp_1")
            end = await ends.receive()
    assert isinstance(end, events.ToolEnd)
    assert isinstance(end.error, LookupError)
    assert end.error.__traceback__ is not None
    (record,) = [one for one in caplog.records if one.name == "trio_realtime.tools"]
    assert record.exc_info is not None
    assert record.exc_info[1] is end.error
