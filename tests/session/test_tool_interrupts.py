"""Interrupted calls are stopped, waited for and answered."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.service import send_call_and_wait, silence, start_call
from support.sessions import open_test_session
from support.tools import make_cleanup_tool, wait
from support.wire import CREATE, ITEM, sent_frames, sent_outputs, sent_types
from trio_realtime import RealtimeSession, events, function_tool
from trio_realtime.testing import ScriptedPeer


async def test_an_interrupt_stops_the_tools_waits_for_their_clean_up_and_answers(
    autojump_clock: MockClock,
) -> None:
    """Invariant 6. No create follows: nobody asked for one."""
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        await send_call_and_wait(peer, "careful")
        began = trio.current_time()
        await session.interrupt()
        assert trio.current_time() - began == pytest.approx(0.5)
        assert careful.log == ["started", "cleaned up"]
        assert await sent_types(peer) == [ITEM]
        ((call_id, output),) = sent_outputs(peer)
        assert call_id == "call_1"
        assert "cancelled" in output
        found = drain_channel(session.events)
        (cancelled,) = [event for event in found if isinstance(event, events.ToolCancelled)]
        assert (cancelled.call_id, cancelled.output_text) == ("call_1", output)
        assert not any(isinstance(event, events.ToolEnd) for event in found)


async def test_the_order_of_all_that_an_interrupt_tells(autojump_clock: MockClock) -> None:
    """In mid-sentence, with two tools at work and a question waiting: frame by frame, to the instant.

    The response is told to stop, then what was heard of it; when the slower tool has cleaned up, both
    calls are answered; only then may the question be asked, and it waits for the response's end.
    """
    slow, quick = make_cleanup_tool(2.0), make_cleanup_tool(0.5)
    quick_tool = attrs.evolve(quick.tool, name="quick")
    peer = ScriptedPeer()
    async with open_test_session(peer, slow.tool, quick_tool) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", silence(10))
        peer.call("resp_1", "item_2", "call_slow", "careful")
        peer.call("resp_1", "item_3", "call_quick", "quick")
        await trio.sleep(0.75)
        await session.send_message("And what about Oslo?")
        began = trio.current_time()
        await session.interrupt()

        assert trio.current_time() - began == pytest.approx(2.0), "as long as the tools take"
        told = [
            (frame["type"], *map(frame.get, ("response_id", "item_id", "audio_end_ms")))
            for frame in await sent_frames(peer)
        ]
        assert told == [
            (ITEM, None, None, None),
            ("response.cancel", "resp_1", None, None),
            ("conversation.item.truncate", None, "item_1", 750),
            (ITEM, None, None, None),
            (ITEM, None, None, None),
        ]
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_quick", "call_slow"]
        found = [event.type for event in drain_channel(session.events)]
        assert found[found.index("audio_interrupted") :] == [
            "audio_interrupted",
            "tool_cancelled",
            "tool_cancelled",
        ]
        peer.end_response("resp_1", "cancelled")
        assert (await sent_types(peer))[5:] == [CREATE]


async def test_speech_stops_the_tools_of_the_response_before_the_next_create(
    autojump_clock: MockClock,
) -> None:
    """D6: what the user says next is answered after the calls are."""
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        await send_call_and_wait(peer, "careful")
        peer.start_user_speech()
        await wait_all_tasks_blocked()
        await session.send_message("Something else.")
        assert await sent_types(peer) == [ITEM]  # the message; its create is held back
        await trio.sleep(1)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1"]


async def test_a_response_that_the_service_cancelled_takes_its_tools_along(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool):
        await start_call(peer, "careful")
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        await trio.sleep(1)
        assert careful.log == ["started", "cleaned up"]
        assert await sent_types(peer) == [ITEM]


async def test_a_call_that_completes_after_the_interrupt_is_answered_and_not_run(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        await session.interrupt()
        peer.call("resp_1", "item_1", "call_1", "careful")
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        await wait_all_tasks_blocked()
        assert careful.log == []
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1"]
        assert CREATE not in await sent_types(peer)


async def test_a_tool_that_finishes_in_spite_of_the_interrupt_is_answered_with_its_result(
    autojump_clock: MockClock,
) -> None:
    """The truth is better than "cancelled"; but it does not make the agent speak again."""

    @function_tool
    async def commit() -> str:
        """Cannot be stopped half-way."""
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return "committed"

    peer = ScriptedPeer()
    async with open_test_session(peer, commit) as session:
        await send_call_and_wait(peer, "commit")
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert sent_outputs(peer) == [("call_1", "committed")]
        assert await sent_types(peer) == [ITEM]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "completed"


async def test_of_two_calls_one_answered_and_one_interrupted_no_create_follows(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, wait, careful.tool) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 0}')
        peer.call("resp_1", "item_2", "call_2", "careful")
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await session.interrupt()
        assert await sent_types(peer) == [ITEM, ITEM]
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1", "call_2"]


async def test_a_tool_with_a_nursery_that_breaks_while_it_is_cancelled_is_answered(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def messy() -> None:
        """A child of it breaks when it is stopped."""

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


async def test_an_interrupt_from_inside_a_tool_stops_that_tool_too(
    autojump_clock: MockClock,
) -> None:
    sessions: list[RealtimeSession[None]] = []
    went_on: list[bool] = []

    @function_tool
    async def hush() -> None:
        """Make the agent stop."""
        await sessions[0].interrupt()
        went_on.append(True)

    peer = ScriptedPeer()
    async with open_test_session(peer, hush) as session:
        sessions.append(session)
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "hush")
        assert await sent_types(peer) == ["response.cancel", ITEM]
        assert went_on == []


async def test_tools_of_a_newer_response_start_clean_after_an_interrupt(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool, wait) as session:
        await send_call_and_wait(peer, "careful")
        await session.interrupt()
        peer.begin_response("resp_2")
        peer.call("resp_2", "item_2", "call_2", "wait", '{"seconds": 1}')
        peer.end_response("resp_2")
        await trio.sleep(2)
        assert sent_outputs(peer)[-1] == ("call_2", "waited 1")
        assert (await sent_types(peer))[-1] == CREATE
