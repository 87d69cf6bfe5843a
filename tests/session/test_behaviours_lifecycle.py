"""How sessions end and what history keeps. Numbers are those of the reference's list of behaviours."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events
from support.service import begin_audio_response, start_call
from support.sessions import open_test_session
from support.tools import make_cleanup_tool
from support.wire import Frame
from trio_realtime import (
    EventChannel,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    function_tool,
    item_text,
    open_realtime_session,
)
from trio_realtime.errors import ConfigurationError, ConnectionLost, SessionClosed, SettingsRejected
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

TOLD = ("text_delta", "history_added", "history_updated", "tool_start", "error")


async def names_of(channel: EventChannel) -> list[str]:
    """Types of the events to the end, those of some kinds."""
    return [event.type async for event in channel if event.type in TOLD]


# --- 45: the end of iteration ------------------------------------------------------------------


async def test_a_normal_close_of_the_server_ends_iteration_after_what_came_before(
    autojump_clock: MockClock,
) -> None:
    """45: without an error."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Bye")
        peer.end_response("resp_1")
        peer.close(1000)
        await wait_all_tasks_blocked()
        seen = await names_of(session.events)
    assert seen == ["history_added", "text_delta", "history_updated", "history_updated"]


async def test_an_abnormal_close_raises_after_what_came_before(autojump_clock: MockClock) -> None:
    """45 and D3: nothing that had arrived is lost."""
    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.text("resp_1", "item_1", "Bye")
        peer.close(1011, "internal error")
        await wait_all_tasks_blocked()
        with pytest.raises(ConnectionLost, match="internal error") as caught:
            await collect_events(session, seen)
    assert seen[-1].type == "text_delta"
    assert (caught.value.code, caught.value.reason) == (1011, "internal error")


async def test_ones_own_close_ends_iteration_without_an_event(autojump_clock: MockClock) -> None:
    """45."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.aclose()
        assert await names_of(session.events) == []
    assert peer.closed is not None
    assert peer.closed.code == 1000


# --- 46 ----------------------------------------------------------------------------------------


async def test_an_error_of_the_service_does_not_end_iteration(autojump_clock: MockClock) -> None:
    """46: there is no status event here that could be taken for an end; only the end is the end."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.send({"type": "error", "error": {"type": "server_error", "message": "hiccup"}})
        peer.send({"type": "connection.status", "status": "disconnected"})
        peer.send("this is no JSON")
        peer.begin_response("resp_1")
        peer.text("resp_1", "item_1", "Still here")
        peer.close()
        seen = await names_of(session.events)
    assert seen == ["error", "error", "text_delta"]


# --- 47: closing with work under way -----------------------------------------------------------


async def test_close_waits_for_the_clean_up_of_tools_before_it_closes_the_connection(
    autojump_clock: MockClock,
) -> None:
    """47: and their calls are answered on it."""
    cleaned: list[bool] = []
    peer = ScriptedPeer()

    @function_tool
    async def tidy() -> None:
        """Cleans up for 100 ms."""
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.1)
            cleaned.append(peer.closed is None)

    async with open_test_session(peer, tidy):
        await start_call(peer, "tidy")
    assert cleaned == [True]
    answer = peer.received[-1]
    assert answer["item"]["type"] == "function_call_output"
    assert answer["item"]["call_id"] == "call_1"


async def test_a_tool_that_ignores_cancellation_cannot_send_after_the_close(
    autojump_clock: MockClock,
) -> None:
    """47: the goodbye does not wait for it, the block does."""
    sessions: list[RealtimeSession[None]] = []
    refused: list[bool] = []

    @function_tool
    async def stubborn() -> str:
        """Goes on for 5 s, and then wants to speak."""
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
            with pytest.raises(SessionClosed):
                await sessions[0].send_message("too late")
        refused.append(True)
        return "too late"

    peer = ScriptedPeer()
    async with open_test_session(peer, stubborn) as session:
        sessions.append(session)
        await start_call(peer, "stubborn")
        left_at = trio.current_time()
    assert trio.current_time() - left_at == pytest.approx(5)
    assert refused == [True]
    assert peer.sent_types() == ["session.update"]


async def test_a_tool_may_close_the_session_that_runs_it(autojump_clock: MockClock) -> None:
    """47: no deadlock, and within the time that a close may take."""
    sessions: list[RealtimeSession[None]] = []

    @function_tool
    async def hang_up() -> str:
        """End the call."""
        await sessions[0].aclose()
        return "closed"

    peer = ScriptedPeer()
    async with open_test_session(peer, hang_up) as session:
        sessions.append(session)
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "hang_up")
        began = trio.current_time()
        seen = await names_of(session.events)
        assert "tool_start" in seen
    assert trio.current_time() - began <= 1
    assert peer.closed is not None


async def test_cancelling_one_closer_does_not_cancel_the_close(autojump_clock: MockClock) -> None:
    """47: the tool's clean-up is waited for all the same, by whoever asks next."""
    careful = make_cleanup_tool(0.2)
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        await start_call(peer, "careful")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.aclose)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await session.aclose()
        assert careful.log == ["started", "cleaned up"]
    assert peer.closed is not None
    assert peer.closed.code == 1000


async def test_whoever_closes_second_returns_when_it_is_closed(autojump_clock: MockClock) -> None:
    """47."""
    careful = make_cleanup_tool(0.2)
    closed: list[bool] = []

    async def close_too(session: RealtimeSession[None]) -> None:
        await session.aclose()
        closed.append(session.statistics().running_tools == 0)

    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session, trio.open_nursery() as nursery:
        await start_call(peer, "careful")
        for _ in range(3):
            nursery.start_soon(close_too, session)
    assert closed == [True] * 3


# --- 48: a session that does not come about ----------------------------------------------------


async def test_two_tools_of_one_name_are_refused_before_anything_is_dialled() -> None:
    """48."""

    @function_tool(name="same")
    async def one() -> None:
        """One."""

    @function_tool(name="same")
    async def two() -> None:
        """Another."""

    peer = ScriptedPeer()
    with pytest.raises(ConfigurationError, match="same"):
        async with open_test_session(peer, one, two):
            pytest.fail("the block must not run")
    assert peer.connections == []


async def test_after_refused_settings_the_connection_is_closed_and_the_next_one_works(
    autojump_clock: MockClock,
) -> None:
    """48: nothing of the failed session is left in agent, config or connector."""
    agent: RealtimeAgent[None] = RealtimeAgent(name="Assistant")
    config = SessionConfig(voice="nobody")
    peer = ScriptedPeer(acknowledge=False)

    async def refuse(peer: ScriptedPeer) -> None:
        await wait_all_tasks_blocked()
        peer.reject(peer.received[0], "invalid_value", "Invalid value: 'nobody'.")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse, peer)
        with pytest.raises(SettingsRejected, match="nobody"):
            async with open_realtime_session(
                agent, endpoint=TEST_ENDPOINT, transport=peer.connect, config=config
            ):
                pytest.fail("the block must not run")
    assert peer.closed is not None
    peer = ScriptedPeer()
    async with open_realtime_session(
        agent, endpoint=TEST_ENDPOINT, transport=peer.connect, config=config
    ) as session:
        peer.begin_response("resp_1")
        peer.text("resp_1", "item_1", "Hello")
        peer.close()
        assert await names_of(session.events) == ["text_delta"]


# --- 49: what was heard stays ------------------------------------------------------------------


def spoken(item_id: str, transcript: str | None, *, status: str = "completed") -> Frame:
    part = {"type": "output_audio", "transcript": transcript}
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [part],
    }


@pytest.mark.parametrize("final", [True, False])
async def test_a_version_without_transcript_keeps_the_one_that_is_known(
    final: bool, autojump_clock: MockClock
) -> None:
    """49: the final transcript, or else the sum of the deltas."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_audio_response(peer, "resp_1", "item_1", bytes(48_000))
        peer.transcript("resp_1", "item_1", "Once upon ")
        peer.transcript("resp_1", "item_1", "a time")
        if final:
            peer.close_item("resp_1", spoken("item_1", "Once upon a time."))
        peer.send(
            {
                "type": "conversation.item.truncated",
                "item_id": "item_1",
                "content_index": 0,
                "audio_end_ms": 500,
            }
        )
        peer.send({"type": "conversation.item.retrieved", "item": spoken("item_1", None)})
        await wait_all_tasks_blocked()
        (item,) = session.history
        assert item_text(item) == ("Once upon a time." if final else "Once upon a time")


async def test_deltas_that_come_late_do_not_spoil_a_final_transcript(
    autojump_clock: MockClock,
) -> None:
    """49."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.transcript("resp_1", "item_1", "Hello wor")
        peer.close_item("resp_1", spoken("item_1", "Hello world."))
        peer.transcript("resp_1", "item_1", "stale")
        await wait_all_tasks_blocked()
        (item,) = session.history
        assert item_text(item) == "Hello world."


# --- D14 ---------------------------------------------------------------------------------------


async def test_history_has_the_servers_order_not_the_order_of_arrival(
    autojump_clock: MockClock,
) -> None:
    """D14: a, c, and then b, which says that it stands after a."""
    peer = ScriptedPeer()

    def said(item_id: str) -> Frame:
        content = [{"type": "input_text", "text": item_id}]
        return {"id": item_id, "type": "message", "role": "user", "content": content}

    async with open_test_session(peer) as session:
        peer.add_item(said("a"), None)
        peer.add_item(said("c"), "a")
        peer.add_item(said("b"), "a")
        peer.add_item(said("first"), None)
        await wait_all_tasks_blocked()
        assert [item.id for item in session.history] == ["first", "a", "b", "c"]


# --- 50: raw events ----------------------------------------------------------------------------


async def test_a_raw_event_is_the_frame_as_it_came_and_changing_it_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    """50: ``null`` stays ``null``, unknown keys stay, and every look is a fresh one."""
    peer = ScriptedPeer()
    frame = (
        '{"type": "conversation.item.added", "event_id": "event_x", "previous_item_id": null,'
        ' "item": {"id": "item_1", "type": "message", "role": "user",'
        ' "content": [{"type": "input_text", "text": "Hi"}]}, "new_key": [1, 2.50]}'
    )
    async with open_test_session(peer) as session:
        with session.subscribe(events.RawModelEvent) as raw:
            peer.send(frame)
            event = await raw.receive()
            assert isinstance(event, events.RawModelEvent)
            assert event.frame == frame
            parsed: Any = event.json()
            assert parsed["previous_item_id"] is None
            assert parsed["new_key"] == [1, 2.5]
            parsed["item"]["content"][0]["text"] = "spoilt"
            parsed["previous_item_id"] = "spoilt"
            assert event.json()["previous_item_id"] is None
        assert isinstance(await session.events.receive(), events.SettingsUpdated)
        added = await session.events.receive()
        assert isinstance(added, events.HistoryAdded)
        assert item_text(added.item) == "Hi"
        assert item_text(session.history[0]) == "Hi"
