"""The results of calls as text for the model."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from support.events import drain_events
from support.service import send_call, send_call_and_wait
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_frames, sent_outputs, sent_types
from trio_realtime import BackgroundResult, FunctionTool, ToolContext, events, function_tool
from trio_realtime.testing import ScriptedPeer


async def test_values_that_are_not_json_are_converted_with_str(autojump_clock: MockClock) -> None:
    class Thing:
        def __str__(self) -> str:
            return "a thing"

    @function_tool
    async def get() -> Any:
        """Return an object."""
        return {"it": Thing()}

    peer = ScriptedPeer()
    async with open_test_session(peer, get):
        await send_call_and_wait(peer, "get")
        assert sent_outputs(peer) == [("call_1", '{"it":"a thing"}')]


async def test_result_whose_conversion_fails_is_still_answered(
    autojump_clock: MockClock,
) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("cannot be converted")

        __repr__ = __str__

    @function_tool
    async def get() -> Any:
        """Return an object."""
        return Broken()

    peer = ScriptedPeer()
    async with open_test_session(peer, get) as session:
        await send_call_and_wait(peer, "get")
        ((call_id, _output),) = sent_outputs(peer)
        assert call_id == "call_1"
        await session.send_message("Still here?")
        assert (await sent_types(peer))[0] == ITEM


async def test_background_result_is_sent_without_a_create(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def note() -> BackgroundResult:
        return BackgroundResult({"noted": True})

    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        with session.subscribe(events.ToolEnd, events.AgentEnd) as channel:
            send_call(peer, "note")
            answer = await peer.expect("conversation.item.create")
            assert answer["item"]["output"] == '{"noted":true}'
            await peer.expect_nothing()
            end = await channel.receive()
            assert isinstance(end, events.ToolEnd)
            assert end.output == {"noted": True}
            turn = await channel.receive()
            assert isinstance(turn, events.AgentEnd), "the turn ends without a response"


# --- long results ------------------------------------------------------------------------------


def make_long_tool(**options: Any) -> FunctionTool:
    @function_tool(**options)
    async def dump() -> str:
        """Return more than the model can take."""
        return "x" * 101

    return dump


TOO_LONG = "The result of dump is too long: it has 101 characters, and at most 100 are allowed. Ask for less."


async def test_result_that_is_too_long_is_replaced(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_long_tool(), max_tool_output=100) as session:
        await send_call_and_wait(peer, "dump")
        assert await sent_types(peer) == [ITEM, CREATE]
        assert sent_outputs(peer) == [("call_1", TOO_LONG)]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.outcome, end.output, end.output_text) == ("failed", "x" * 101, TOO_LONG)
    assert "max_tool_output" in caplog.text


@pytest.mark.parametrize("limit", [101, None])
async def test_result_within_the_limit_is_sent(
    limit: int | None, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_long_tool(), max_tool_output=limit):
        await send_call_and_wait(peer, "dump")
        assert sent_outputs(peer) == [("call_1", "x" * 101)]


async def test_early_answer_and_the_result_after_it_are_limited(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    @function_tool
    async def dump(context: ToolContext[None]) -> str:
        await context.answer_early("x" * 101)
        return "y" * 101

    peer = ScriptedPeer()
    async with open_test_session(peer, dump, max_tool_output=100):
        await send_call_and_wait(peer, "dump")
        assert sent_outputs(peer) == [("call_1", TOO_LONG)]
        texts = [frame for frame in await sent_frames(peer) if "Result of dump" in str(frame)]
        assert len(texts) == 1
        assert TOO_LONG in str(texts[0])
    assert len(caplog.records) == 2


async def test_text_of_an_error_is_limited(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be as long as a result: an exception of a database repeats the whole query."""

    @function_tool
    async def dump() -> str:
        raise LookupError("z" * 200)

    peer = ScriptedPeer()
    async with open_test_session(peer, dump, max_tool_output=100) as session:
        await send_call_and_wait(peer, "dump")
        ((_, output),) = sent_outputs(peer)
        assert output.startswith("The result of dump is too long")
        (end,) = drain_events(session.events, events.ToolEnd)
        assert isinstance(end.error, LookupError)
