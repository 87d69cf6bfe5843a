"""The results of calls as text for the model."""

from __future__ import annotations

from typing import Any

from trio.testing import MockClock

from support.service import send_call, send_call_and_wait
from support.sessions import open_test_session
from support.wire import ITEM, sent_outputs, sent_types
from trio_realtime import BackgroundResult, events, function_tool
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
