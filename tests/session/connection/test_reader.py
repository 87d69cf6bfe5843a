"""The reader: it handles every frame, and waits for no consumer and no tool."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_types, drain_channel, drain_events
from support.interruptions import sent_truncates, server_vad_session
from support.service import send_call_and_wait, silence, start_audio_response
from support.sessions import open_test_session
from support.wire import CANCEL, ITEM, TRUNCATE, Frame, sent_types
from trio_realtime import RealtimeSession, events, function_tool, item_text
from trio_realtime.errors import ConsumerTooSlow
from trio_realtime.testing import ScriptedPeer

# --- frames ------------------------------------------------------------------------------------


async def test_service_errors_and_invalid_frames_do_not_end_iteration(
    autojump_clock: MockClock,
) -> None:
    """Only a close ends it; there is no status event."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.send({"type": "error", "error": {"type": "server_error", "message": "hiccup"}})
        peer.send({"type": "connection.status", "status": "disconnected"})
        peer.send("not JSON")
        peer.begin_response("resp_1")
        peer.text("resp_1", "item_1", "Still here")
        peer.close()
        seen = await collect_types(session.events)
    assert seen == ["error", "error", "text_delta", "history_added"]


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "response.dreamt", "dream": {"sheep": [1, 2]}},
        {"type": "response.output_text.delta", "delta": 7},
        {"type": "conversation.item.added", "item": {"type": "hologram", "id": "item_h"}},
    ],
)
async def test_unknown_event_is_not_an_error(frame: Frame, autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery():
        with session.subscribe(events.RawModelEvent) as raw:
            peer.send({"event_id": "event_new", **frame})
            await wait_all_tasks_blocked()
            (seen,) = drain_events(raw, events.RawModelEvent)
            assert seen.json() == {"event_id": "event_new", **frame}
        assert not drain_events(session.events, events.Error)
        await session.send_message("And on it goes")
        await peer.expect(ITEM)


async def test_raw_event_holds_the_received_text_and_is_parsed_on_each_access(
    autojump_clock: MockClock,
) -> None:
    """``null`` values and unknown keys are preserved."""
    peer = ScriptedPeer()
    frame = (
        '{ "type" :"conversation.item.added", "event_id": "event_x", "previous_item_id": null,'
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
        (added,) = drain_events(session.events, events.HistoryAdded)
        assert item_text(added.item) == "Hi"
        assert item_text(session.history[0]) == "Hi"


# --- independence ------------------------------------------------------------------------------


async def test_tool_does_not_block_the_reader(autojump_clock: MockClock) -> None:
    @function_tool
    async def slow() -> str:
        """Take long."""
        await trio.sleep(100)
        return "done"

    peer = ScriptedPeer()
    async with open_test_session(peer, slow) as session:
        await send_call_and_wait(peer, "slow")
        peer.begin_response("resp_2")
        peer.text("resp_2", "item_2", "Meanwhile")
        await wait_all_tasks_blocked()
        assert any(isinstance(event, events.TextDelta) for event in drain_channel(session.events))


async def test_barge_in_works_although_a_consumer_reads_no_audio(
    autojump_clock: MockClock,
) -> None:
    """The consumer's limit is reached in the middle of the audio."""
    detection = {"type": "server_vad", "interrupt_response": False}
    peer = ScriptedPeer(session={"audio": {"input": {"turn_detection": detection}}})
    async with open_test_session(peer, max_buffered_audio=48_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        for _ in range(50):
            peer.audio("resp_1", "item_1", silence(0.1))
        await trio.sleep(2)
        peer.start_user_speech()
        await peer.expect("response.cancel", response_id="resp_1")
        await peer.expect("conversation.item.truncate", item_id="item_1", audio_end_ms=2000)
        assert session.events.statistics().buffered_audio <= 48_000


async def test_barge_in_works_although_a_consumer_reads_no_events(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(session=server_vad_session(interrupts=False))
    async with open_test_session(peer, max_buffered_events=4) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        for _ in range(10):
            peer.transcript("resp_1", "item_1", "and so on ")
        await trio.sleep(0.5)
        peer.start_user_speech()
        assert await sent_types(peer) == [CANCEL, TRUNCATE]
        assert await sent_truncates(peer) == [("item_1", 0, 500)]
        with pytest.raises(ConsumerTooSlow):
            drain_channel(session.events)


async def test_consumer_that_fails_on_an_interruption_cannot_prevent_it(
    autojump_clock: MockClock,
) -> None:
    """The frames are queued before the event is delivered."""
    peer = ScriptedPeer(session=server_vad_session(interrupts=False))

    async def consume(session: RealtimeSession[None]) -> None:
        async for event in session:
            if isinstance(event, events.AudioInterrupted):
                raise ZeroDivisionError("raised by the consumer")

    with pytest.RaisesGroup(ZeroDivisionError):
        async with open_test_session(peer) as session, trio.open_nursery() as nursery:
            nursery.start_soon(consume, session)
            await start_audio_response(peer, "resp_1", "item_1", audio=1)
            peer.start_user_speech()
            await trio.sleep_forever()
    assert await sent_types(peer) == [CANCEL, TRUNCATE]
