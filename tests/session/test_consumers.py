"""What consumers get, how much they may leave unread, and what the handles of responses tell."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    PCMU,
    EventChannel,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    function_tool,
    item_text,
    open_realtime_session,
)
from trio_realtime.errors import (
    ConnectionLost,
    ConsumerTooSlow,
    RealtimeError,
    RequestRefused,
    ResponseFailed,
    UsageError,
)
from trio_realtime.session import PacedAudio
from trio_realtime.testing import (
    TEST_ENDPOINT,
    MemoryTransport,
    ScriptedPeer,
    memory_transport_pair,
    message,
)
from trio_realtime.transports import Dial, Transport
from trio_realtime.wire import InputText, MessageItem

Frame: TypeAlias = dict[str, Any]
PATIENCE = 600
"""Virtual seconds after which a test that hangs fails."""


@asynccontextmanager
async def talk(
    peer: ScriptedPeer, *tools: FunctionTool, **settings: Any
) -> AsyncIterator[RealtimeSession[None]]:
    agent: RealtimeAgent[None] = RealtimeAgent(name="Assistant", tools=tools)
    with trio.fail_after(PATIENCE):
        async with open_realtime_session(
            agent,
            endpoint=TEST_ENDPOINT,
            transport=peer.connect,
            config=SessionConfig(**settings),
        ) as session:
            yield session


def taken(channel: EventChannel) -> list[events.SessionEvent]:
    """What a channel holds now."""
    found: list[events.SessionEvent] = []
    while True:
        try:
            found.append(channel.receive_nowait())
        except trio.WouldBlock:
            return found


async def read_all(channel: EventChannel, received: list[events.SessionEvent]) -> None:
    """Note all events, to the end."""
    async for event in channel:
        received.append(event)  # noqa: PERF401 - what came before a failure counts


def texts(found: list[events.SessionEvent]) -> list[str]:
    return [event.delta for event in found if isinstance(event, events.TextDelta)]


def voices(found: list[events.SessionEvent]) -> list[str]:
    """Response of each audio event."""
    return [event.response_id for event in found if isinstance(event, events.Audio)]


def seconds(count: float) -> bytes:
    return bytes(int(48_000 * count))


async def speak(peer: ScriptedPeer, response_id: str, item_id: str, *, audio: float) -> None:
    peer.begin_response(response_id)
    peer.open_message(response_id, item_id)
    peer.audio(response_id, item_id, seconds(audio))
    await wait_all_tasks_blocked()


async def write(peer: ScriptedPeer, *deltas: str) -> None:
    for delta in deltas:
        peer.text("resp_1", "item_1", delta)
    await wait_all_tasks_blocked()


# --- subscribing -------------------------------------------------------------------------------


async def test_channels_do_not_take_from_each_other(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        with session.subscribe() as one, session.subscribe() as other:
            await write(peer, "a", "b")
            assert texts(taken(one)) == ["a", "b"]
            assert texts(taken(other)) == ["a", "b"]
            assert texts(taken(session.events)) == ["a", "b"]


async def test_tasks_that_share_a_channel_share_its_events(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    shares: dict[str, list[str]] = {"one": [], "other": []}

    async def consume(name: str, channel: EventChannel) -> None:
        async for event in channel:
            shares[name] += texts([event])
            await trio.sleep(1)

    async with talk(peer) as session, trio.open_nursery() as nursery:
        with session.subscribe(events.TextDelta) as channel:
            for name in shares:
                nursery.start_soon(consume, name, channel)
            await write(peer, *"abcdef")
            await trio.sleep(20)
            peer.close()
            await wait_all_tasks_blocked()
    assert sorted(shares["one"] + shares["other"]) == list("abcdef")
    assert len(shares["one"]) == len(shares["other"]) == 3


async def test_a_channel_carries_only_what_was_asked_for(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        with session.subscribe(events.TextDelta, events.ResponseEnd) as channel:
            peer.begin_response("resp_1")
            peer.say("resp_1", "item_1", "Hi")
            peer.end_response("resp_1")
            await wait_all_tasks_blocked()
            assert [event.type for event in taken(channel)] == ["text_delta", "response_end"]


async def test_a_channel_begins_and_ends_with_its_block(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        await write(peer, "before")
        with session.subscribe() as channel:
            assert taken(channel) == []
            await write(peer, "during")
            assert texts(taken(channel)) == ["during"]
            await write(peer, "unread")
        with pytest.raises(trio.ClosedResourceError):
            channel.receive_nowait()
        assert channel.statistics().buffered_events == 0


async def test_raw_events_come_only_to_who_names_them_and_before_what_follows_from_them(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        with (
            session.subscribe() as plain,
            session.subscribe(events.RawModelEvent, events.TextDelta) as raw,
        ):
            await write(peer, "a")
            peer.send({"type": "brand.new.event", "payload": {"deep": [1]}})
            await wait_all_tasks_blocked()
            assert not any(isinstance(event, events.RawModelEvent) for event in taken(plain))
            first, second, unknown = taken(raw)
            assert isinstance(first, events.RawModelEvent)
            assert isinstance(second, events.TextDelta)
            assert isinstance(unknown, events.RawModelEvent)
            assert unknown.json()["payload"] == {"deep": [1]}


async def test_the_frame_of_a_raw_event_is_the_text_that_came(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    frame = '{ "type" : "response.done","response":{"id":"resp_1","unknown":null} }'
    async with talk(peer) as session:
        with session.subscribe(events.RawModelEvent) as raw:
            peer.send(frame)
            event = await raw.receive()
    assert isinstance(event, events.RawModelEvent)
    assert event.frame == frame


async def test_a_cancelled_receive_loses_no_event(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        with session.subscribe(events.TextDelta) as channel:
            for _ in range(3):
                with trio.move_on_after(1) as scope:
                    await channel.receive()
                assert scope.cancelled_caught
            await write(peer, "a")
            with trio.CancelScope() as cancelled:
                cancelled.cancel()
                await channel.receive()
            assert texts(taken(channel)) == ["a"]


# --- reading too slowly ------------------------------------------------------------------------


async def test_who_stops_reading_gets_what_fitted_and_then_a_loud_failure(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer, max_buffered_events=3) as session:
        with session.subscribe(events.TextDelta) as channel:
            await write(peer, *"abcdefg")
            statistics = channel.statistics()
            assert statistics.buffered_events == 3
            assert statistics.dropped_events == 4
            received: list[events.SessionEvent] = []
            with pytest.raises(ConsumerTooSlow, match="max_buffered_events") as caught:
                await read_all(channel, received)
            assert texts(received) == ["a", "b", "c"]
            assert caught.value.statistics["buffered_events"] == 3


async def test_audio_is_bounded_in_bytes(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer, max_buffered_audio=1000) as session:
        with session.subscribe(events.Audio) as channel:
            for _ in range(4):
                peer.audio("resp_1", "item_1", bytes(400))
            await wait_all_tasks_blocked()
            assert channel.statistics().buffered_audio == 800
            received: list[events.SessionEvent] = []
            with pytest.raises(ConsumerTooSlow):
                await read_all(channel, received)
            assert len(received) == 2
            assert channel.statistics().buffered_audio == 0


async def test_reading_makes_room(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer, max_buffered_audio=1000) as session:
        with session.subscribe(events.Audio) as channel:
            for _ in range(20):
                peer.audio("resp_1", "item_1", bytes(900))
                assert isinstance(await channel.receive(), events.Audio)


async def test_one_slow_consumer_is_nobody_elses_concern(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    received: list[str] = []

    async def consume(channel: EventChannel) -> None:
        async for event in channel:
            received.extend(texts([event]))

    async with talk(peer, max_buffered_events=3) as session, trio.open_nursery() as nursery:
        with (
            session.subscribe(events.TextDelta) as slow,
            session.subscribe(events.TextDelta) as quick,
        ):
            nursery.start_soon(consume, quick)
            for letter in "abcdefgh":
                await write(peer, letter)
            await session.send_message("All is well here.")
            await peer.expect("conversation.item.create")
            await session.aclose()
            assert received == list("abcdefgh")
            assert texts([slow.receive_nowait() for _ in range(3)]) == ["a", "b", "c"]
            with pytest.raises(ConsumerTooSlow):
                slow.receive_nowait()


async def test_drop_oldest_keeps_the_newest_and_counts_the_others(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer, max_buffered_events=3) as session:
        with session.subscribe(events.TextDelta, overflow="drop_oldest") as channel:
            await write(peer, *"abcdefg")
            assert channel.statistics().dropped_events == 4
            assert texts(taken(channel)) == ["e", "f", "g"]


async def test_drop_oldest_holds_the_bound_of_audio_whatever_stands_before_it(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer, max_buffered_audio=1000, overflow="drop_oldest") as session:
        with session.subscribe(events.TextDelta, events.Audio) as channel:
            await write(peer, *"abcdefghijklmnopqrst")
            for _ in range(10):
                peer.audio("resp_1", "item_1", bytes(400))
                await wait_all_tasks_blocked()
                assert channel.statistics().buffered_audio <= 1000


async def test_a_consumer_that_never_reads_does_not_keep_the_reader_from_barge_in(
    autojump_clock: MockClock,
) -> None:
    """The bound is reached in the middle of the audio; what comes after is still acted on."""
    detection = {"type": "server_vad", "interrupt_response": False}
    peer = ScriptedPeer(session={"audio": {"input": {"turn_detection": detection}}})
    async with talk(peer, max_buffered_audio=48_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        for _ in range(50):
            peer.audio("resp_1", "item_1", seconds(0.1))
        await trio.sleep(2)
        peer.user_speaks()
        await peer.expect("response.cancel", response_id="resp_1")
        await peer.expect("conversation.item.truncate", item_id="item_1", audio_end_ms=2000)
        assert session.events.statistics().buffered_audio <= 48_000


# --- interrupted audio -------------------------------------------------------------------------


async def test_unread_audio_of_an_interrupted_response_is_gone_from_every_channel(
    autojump_clock: MockClock,
) -> None:
    """Invariant 5, and only of that response."""
    peer = ScriptedPeer()
    async with talk(peer) as session:
        with session.subscribe(events.Audio, events.AudioInterrupted) as channel:
            await speak(peer, "resp_1", "item_1", audio=1)
            peer.end_response("resp_1")
            await trio.sleep(2)
            await speak(peer, "resp_2", "item_2", audio=2)
            await session.interrupt()
            for found in (taken(channel), taken(session.events)):
                assert voices(found) == ["resp_1"]
                assert any(isinstance(event, events.AudioInterrupted) for event in found)
            assert channel.statistics().buffered_audio == 0


@pytest.mark.parametrize("by_speech", [True, False])
async def test_no_audio_of_an_interrupted_response_comes_late(
    by_speech: bool, autojump_clock: MockClock
) -> None:
    """Invariant 5: neither between the interrupt and ``response.done`` nor after it."""
    peer = ScriptedPeer()
    async with talk(peer) as session:
        await speak(peer, "resp_1", "item_1", audio=1)
        assert voices(taken(session.events)) == ["resp_1"]
        if by_speech:
            peer.user_speaks()
        else:
            await session.interrupt()
        peer.audio("resp_1", "item_1", seconds(1))
        peer.open_message("resp_1", "item_2")
        peer.audio("resp_1", "item_2", seconds(1))
        peer.send(
            {
                "type": "response.output_audio.done",
                "response_id": "resp_1",
                "item_id": "item_1",
                "output_index": 0,
                "content_index": 0,
            }
        )
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        peer.audio("resp_1", "item_1", seconds(1))
        await speak(peer, "resp_2", "item_3", audio=1)
        found = taken(session.events)
        assert voices(found) == ["resp_2"]
        assert not any(isinstance(event, events.AudioEnd) for event in found)


async def test_room_that_the_interruption_made_can_be_used(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer, max_buffered_audio=50_000) as session:
        for number in range(5):
            await speak(peer, f"resp_{number}", f"item_{number}", audio=1)
            await session.interrupt()
            peer.end_response(f"resp_{number}", "cancelled", reason="client_cancelled")
        await speak(peer, "resp_last", "item_last", audio=1)
        assert voices(taken(session.events)) == ["resp_last"]


# --- paced audio -------------------------------------------------------------------------------


class Speaker:
    """Takes paced audio and notes when each frame came."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.frames: list[events.Audio] = []
        self.error: RealtimeError | None = None
        self._began = trio.current_time()

    async def play(self, paced: PacedAudio) -> None:
        try:
            async for frame in paced:
                self.times.append(round(trio.current_time() - self._began, 6))
                self.frames.append(frame)
        except RealtimeError as exc:
            self.error = exc

    @property
    def data(self) -> bytes:
        return b"".join(frame.data for frame in self.frames)


def numbered(ms: int) -> bytes:
    """Audio in which every sample is another, so that a lost or doubled one shows."""
    return b"".join((n % 65536).to_bytes(2, "little") for n in range(ms * 24))


async def test_paced_frames_come_each_at_its_time(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session, trio.open_nursery() as nursery:
        speaker = Speaker()
        async with session.paced_audio(frame_ms=20) as paced:
            nursery.start_soon(speaker.play, paced)
            peer.begin_response("resp_1")
            peer.open_message("resp_1", "item_1")
            peer.audio("resp_1", "item_1", numbered(100))
            await trio.sleep(1)
            assert speaker.times == [0, 0.02, 0.04, 0.06, 0.08]
            assert [len(frame.data) for frame in speaker.frames] == [960] * 5
            assert speaker.data == numbered(100)
            assert {frame.item_id for frame in speaker.frames} == {"item_1"}
            nursery.cancel_scope.cancel()


async def test_paced_frames_have_their_length_however_the_audio_was_cut(
    autojump_clock: MockClock,
) -> None:
    """Seven bytes at a time, and a rest that waits for the end of its item."""
    peer = ScriptedPeer()
    whole = numbered(50)
    async with talk(peer) as session, trio.open_nursery() as nursery:
        speaker = Speaker()
        async with session.paced_audio(frame_ms=20) as paced:
            nursery.start_soon(speaker.play, paced)
            peer.begin_response("resp_1")
            for start in range(0, len(whole), 7):
                peer.audio("resp_1", "item_1", whole[start : start + 7])
            await trio.sleep(1)
            assert [len(frame.data) for frame in speaker.frames] == [960, 960]
            peer.send(
                {
                    "type": "response.output_audio.done",
                    "response_id": "resp_1",
                    "item_id": "item_1",
                    "output_index": 0,
                    "content_index": 0,
                }
            )
            await trio.sleep(1)
            assert [len(frame.data) for frame in speaker.frames] == [960, 960, 480]
            assert speaker.data == whole
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("settings", "size", "frame", "silence"),
    [({}, 480, 960, b"\0"), ({"output_format": PCMU}, 80, 160, b"\xff")],
)
async def test_the_last_frame_is_padded_with_silence_on_request(
    settings: dict[str, Any], size: int, frame: int, silence: bytes, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with (
        talk(peer, **settings) as session,
        session.paced_audio(frame_ms=20, pad=True) as paced,
    ):
        peer.begin_response("resp_1")
        peer.audio("resp_1", "item_1", b"\x11" * size)
        peer.audio("resp_1", "item_2", b"\x22" * frame)
        first, second = await paced.receive(), await paced.receive()
        assert first.data == b"\x11" * size + silence * (frame - size)
        assert (second.data, second.item_id) == (b"\x22" * frame, "item_2")
        # Silence is not speech: the clock of the interruptions counts only what was said.
        assert session.playback.position("item_1") in {0, 10}


async def test_an_interruption_drops_the_paced_audio_that_was_not_handed_out(
    autojump_clock: MockClock,
) -> None:
    """What was handed out is what was heard, so the truncate is exact; the next answer comes at once."""
    peer = ScriptedPeer()
    async with talk(peer) as session, trio.open_nursery() as nursery:
        speaker = Speaker()
        async with session.paced_audio(frame_ms=20) as paced:
            nursery.start_soon(speaker.play, paced)
            peer.begin_response("resp_1")
            peer.open_message("resp_1", "item_1")
            peer.audio("resp_1", "item_1", numbered(1000))
            await trio.sleep(0.205)
            peer.user_speaks()
            await peer.expect("conversation.item.truncate", item_id="item_1", audio_end_ms=200)
            peer.end_response("resp_1", "cancelled", reason="turn_detected")
            await trio.sleep(1)
            assert len(speaker.frames) == 11  # ten were heard, one was playing
            peer.begin_response("resp_2")
            peer.audio("resp_2", "item_2", numbered(20))
            await wait_all_tasks_blocked()
            assert speaker.frames[-1].response_id == "resp_2"
            nursery.cancel_scope.cancel()


async def test_a_slow_speaker_moves_the_truncate_not_the_audio(autojump_clock: MockClock) -> None:
    """Each frame takes 50 ms instead of 20: by the clock more would have been heard than was."""
    peer = ScriptedPeer()
    async with (
        talk(peer) as session,
        trio.open_nursery() as nursery,
        session.paced_audio(frame_ms=20) as paced,
    ):

        async def play() -> None:
            async for _ in paced:
                await trio.sleep(0.05)

        nursery.start_soon(play)
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", numbered(5000))
        await trio.sleep(0.51)
        await session.interrupt()
        await peer.expect("response.cancel")
        await peer.expect("conversation.item.truncate", audio_end_ms=200)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("code", [1000, 1011])
async def test_paced_audio_is_handed_out_to_the_end_though_the_session_ended(
    code: int, autojump_clock: MockClock
) -> None:
    """Invariant 8, in real time: all of it first, each frame at its time, then how it ended."""
    peer = ScriptedPeer()
    async with talk(peer) as session:
        speaker = Speaker()
        async with session.paced_audio(frame_ms=20) as paced:
            peer.begin_response("resp_1")
            peer.audio("resp_1", "item_1", numbered(90))
            peer.close(code)
            await wait_all_tasks_blocked()
            await speaker.play(paced)
    assert speaker.data == numbered(90)
    assert speaker.times == [0, 0.02, 0.04, 0.06, 0.08]
    assert isinstance(speaker.error, ConnectionLost) == (code == 1011)


async def test_the_end_of_the_session_while_a_frame_plays_loses_no_paced_audio(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session, trio.open_nursery() as nursery:
        speaker = Speaker()
        async with session.paced_audio(frame_ms=20) as paced:
            nursery.start_soon(speaker.play, paced)
            peer.begin_response("resp_1")
            peer.audio("resp_1", "item_1", numbered(100))
            await trio.sleep(0.03)
            peer.close(1000)
            await trio.sleep(1)
    assert speaker.data == numbered(100)


async def test_after_its_block_paced_audio_is_closed(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        async with session.paced_audio() as paced:
            peer.begin_response("resp_1")
            peer.audio("resp_1", "item_1", numbered(100))
            await paced.receive()
        with pytest.raises(trio.ClosedResourceError):
            await paced.receive()


async def test_a_cancelled_wait_for_a_paced_frame_loses_no_audio(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    got = b""
    async with talk(peer) as session, session.paced_audio(frame_ms=20) as paced:
        peer.begin_response("resp_1")
        peer.audio("resp_1", "item_1", numbered(100))
        while len(got) < 4800:
            with trio.move_on_after(0.003):
                got += (await paced.receive()).data
    assert got == numbered(100)


async def test_paced_frames_need_a_length() -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        with pytest.raises(UsageError, match="frame_ms"):
            session.paced_audio(frame_ms=0)


# --- drain -------------------------------------------------------------------------------------


async def test_drain_waits_for_what_is_asked_written_called_and_heard(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def think() -> str:
        """Takes a second."""
        await trio.sleep(1)
        return "thought"

    async def serve() -> None:
        create = await peer.expect("response.create")
        await trio.sleep(1)
        peer.begin_response("resp_1", create)
        peer.call("resp_1", "item_1", "call_1", "think")
        peer.end_response("resp_1")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        await trio.sleep(1)
        peer.begin_response("resp_2", create)
        peer.say("resp_2", "item_2", "So.", pcm=seconds(3))
        peer.end_response("resp_2")

    peer = ScriptedPeer()
    async with talk(peer, think) as session, trio.open_nursery() as nursery:
        began = trio.current_time()
        await session.drain()
        assert trio.current_time() == began
        await session.create_response()
        nursery.start_soon(serve)
        await session.drain()
        assert trio.current_time() - began == pytest.approx(1 + 1 + 1 + 3)


async def test_drain_is_over_when_the_rest_is_interrupted(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session, trio.open_nursery() as nursery:
        began = trio.current_time()
        await speak(peer, "resp_1", "item_1", audio=30)
        peer.end_response("resp_1")

        async def interrupt_later() -> None:
            await trio.sleep(2)
            await session.interrupt()

        nursery.start_soon(interrupt_later)
        await session.drain()
        assert trio.current_time() - began == pytest.approx(2)


async def test_drain_believes_reports_in_whole_milliseconds(autojump_clock: MockClock) -> None:
    """What is left then is less than can be told."""
    peer = ScriptedPeer()
    async with talk(peer) as session:
        peer.begin_response("resp_1")
        peer.audio("resp_1", "item_1", bytes(48_040))  # 1000.83 ms
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        session.playback.played("item_1", 0, 1000)
        with trio.fail_after(5):
            await session.drain()


async def test_drain_waits_for_reports_where_there_are_some(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session, trio.open_nursery() as nursery:
        began = trio.current_time()
        await speak(peer, "resp_1", "item_1", audio=1)
        peer.end_response("resp_1")

        async def play_slowly() -> None:
            for ms in range(0, 1001, 100):
                session.playback.played("item_1", 0, ms)
                await trio.sleep(0.3)

        nursery.start_soon(play_slowly)
        await trio.sleep(0.1)
        await session.drain()
        assert trio.current_time() - began >= 3


async def test_the_playback_report_tells_where_an_item_is(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        await speak(peer, "resp_1", "item_1", audio=2)
        await trio.sleep(0.5)
        assert session.playback.position("item_1") == pytest.approx(500)
        assert session.playback.remaining == pytest.approx(1.5)
        assert session.playback.position("nobody") == 0


# --- asking ------------------------------------------------------------------------------------


async def answer(peer: ScriptedPeer, response_id: str, text: str) -> None:
    """Answer the next create with one message."""
    create = await peer.expect("response.create")
    peer.begin_response(response_id, create)
    peer.say(response_id, f"item_of_{response_id}", text)
    said = message(f"item_of_{response_id}", text)
    peer.end_response(response_id, output=[said])


async def test_ask_returns_the_answer_that_follows_the_calls(autojump_clock: MockClock) -> None:
    @function_tool
    async def look_up() -> str:
        """Look it up."""
        return "42"

    async def serve() -> None:
        await peer.expect("conversation.item.create")
        for number in range(2):
            create = await peer.expect("response.create")
            peer.begin_response(f"resp_{number}", create)
            peer.say(f"resp_{number}", f"item_{number}", "One moment.")
            peer.call(f"resp_{number}", f"fc_{number}", f"call_{number}", "look_up")
            peer.end_response(f"resp_{number}")
            output = await peer.expect("conversation.item.create")
            assert output["item"]["output"] == "42"
        await answer(peer, "resp_last", "It is 42.")

    peer = ScriptedPeer()
    async with talk(peer, look_up) as session, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        outcome = await session.ask("What is it?")
        assert (outcome.text, outcome.status) == ("It is 42.", "completed")
        assert outcome.response_id == "resp_last"


async def test_ask_says_when_the_answer_was_cut_off(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()

    async def serve() -> None:
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        peer.open_message("resp_1", "item_1")
        peer.text("resp_1", "item_1", "It is f")
        peer.end_response("resp_1", "cancelled", reason="turn_detected")

    async with talk(peer) as session, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(ResponseFailed, match="turn_detected") as caught:
            await session.ask("What is it?")
    assert (caught.value.status, caught.value.reason) == ("cancelled", "turn_detected")
    assert caught.value.text == "It is f"


async def test_ask_ends_when_its_calls_are_interrupted(autojump_clock: MockClock) -> None:
    @function_tool
    async def forever() -> None:
        """Never ends by itself."""
        await trio.sleep_forever()

    async def serve(session: RealtimeSession[None]) -> None:
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        peer.call("resp_1", "fc_1", "call_1", "forever")
        peer.end_response("resp_1")
        await trio.sleep(1)
        await session.interrupt()

    peer = ScriptedPeer()
    async with talk(peer, forever) as session, trio.open_nursery() as nursery:
        nursery.start_soon(serve, session)
        with pytest.raises(ResponseFailed, match="interrupted"):
            await session.ask("What is it?")


async def test_two_who_ask_get_each_their_own_answer(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    got: dict[str, str] = {}

    async def ask(session: RealtimeSession[None], question: str) -> None:
        got[question] = (await session.ask(question)).text

    async with talk(peer) as session, trio.open_nursery() as nursery:
        nursery.start_soon(ask, session, "first")
        await wait_all_tasks_blocked()
        nursery.start_soon(ask, session, "second")
        await wait_all_tasks_blocked()
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        await peer.expect("conversation.item.create")
        peer.begin_response("resp_1", create)
        peer.say("resp_1", "item_1", "to the first")
        peer.end_response("resp_1")
        await answer(peer, "resp_2", "to the second")
    assert got == {"first": "to the first", "second": "to the second"}


@pytest.mark.parametrize("content", ["", [], [""]])
async def test_a_message_with_nothing_in_it_is_refused(
    content: str | list[str], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        with pytest.raises(UsageError):
            await session.send_message(content)
        await peer.expect_nothing()


# --- handles of responses ----------------------------------------------------------------------


async def test_a_handle_tells_how_its_response_went(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    usage = {"total_tokens": 30, "input_tokens": 10, "output_tokens": 20}
    async with talk(peer) as session:
        handle = await session.create_response(
            instructions="Whisper.", metadata={"topic": "weather"}, max_output_tokens=100
        )
        create = await peer.expect("response.create")
        assert create["response"]["instructions"] == "Whisper."
        assert create["response"]["max_output_tokens"] == 100
        assert create["response"]["metadata"]["topic"] == "weather"
        peer.begin_response("resp_1", create)
        await wait_all_tasks_blocked()
        known = [handle.is_done]
        item = message("item_1", "psst")
        peer.say("resp_1", "item_1", "psst")
        peer.end_response("resp_1", output=[item], usage=usage)
        outcome = await handle
        assert [*known, handle.is_done] == [False, True]
        assert (outcome.response_id, outcome.status, outcome.text) == (
            "resp_1",
            "completed",
            "psst",
        )
        assert [item_text(item) for item in outcome.items] == ["psst"]
        assert outcome.usage is not None
        assert outcome.usage.total_tokens == 30
        assert await handle.wait() is outcome


async def test_a_handle_raises_when_the_response_failed(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        handle = await session.create_response()
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        peer.send(
            {
                "type": "response.done",
                "response": {
                    "id": "resp_1",
                    "status": "failed",
                    "status_details": {
                        "type": "failed",
                        "error": {"code": "insufficient_quota", "message": "You are broke."},
                    },
                },
            }
        )
        with pytest.raises(ResponseFailed, match="You are broke") as caught:
            await handle
        assert (caught.value.status, caught.value.code) == ("failed", "insufficient_quota")
        await session.send_message("Still here?")
        await peer.expect("conversation.item.create")
        await peer.expect("response.create")


async def test_a_handle_raises_when_the_request_was_refused(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        handle = await session.create_response(max_output_tokens=-1)
        peer.refuse(await peer.expect("response.create"), "invalid_value", "no such number")
        with pytest.raises(RequestRefused, match="no such number"):
            await handle
        # Who holds the handle has been told; nobody else needs to be.
        assert not any(isinstance(e, events.Error) for e in taken(session.events))


async def test_a_cancelled_wait_leaves_the_response_alone(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        handle = await session.create_response()
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        with trio.move_on_after(1):
            await handle
        await peer.expect_nothing()
        peer.end_response("resp_1")
        assert (await handle).response_id == "resp_1"


async def test_cancelling_a_handle_stops_its_response(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        handle = await session.create_response()
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        await wait_all_tasks_blocked()
        handle.cancel()
        handle.cancel()
        await peer.expect("response.cancel", response_id="resp_1")
        await peer.expect_nothing()
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        with pytest.raises(ResponseFailed):
            await handle


async def test_cancelling_a_handle_before_its_response_began_stops_it_then(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        handle = await session.create_response()
        create = await peer.expect("response.create")
        handle.cancel()
        await peer.expect_nothing()
        peer.begin_response("resp_1", create)
        await peer.expect("response.cancel", response_id="resp_1")
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        with pytest.raises(ResponseFailed, match="client_cancelled"):
            await handle


async def test_cancelling_a_handle_whose_turn_has_not_come_leaves_its_neighbours_alone(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()

    async def serve() -> None:
        number = 0
        while True:
            frame = await peer.next()
            if frame["type"] != "response.create":
                continue
            number += 1
            words = frame["response"].get("instructions", "")
            peer.begin_response(f"resp_{number}", frame)
            await wait_all_tasks_blocked()
            cancelled = any(f.get("response_id") == f"resp_{number}" for f in peer.received)
            peer.say(f"resp_{number}", f"item_{number}", words)
            peer.end_response(f"resp_{number}", "cancelled" if cancelled else "completed")

    async with talk(peer) as session, trio.open_nursery() as nursery:
        handles = [await session.create_response(instructions=word) for word in "abc"]
        handles[1].cancel()
        nursery.start_soon(serve)
        assert (await handles[0]).text == "a"
        assert (await handles[2]).text == "c"
        with pytest.raises(ResponseFailed):
            await handles[1]
        nursery.cancel_scope.cancel()


async def test_cancelling_a_handle_stops_the_tools_of_its_response(
    autojump_clock: MockClock,
) -> None:
    """Also when the service completes one more call before it obeys."""

    @function_tool
    async def forever() -> None:
        """Never ends by itself."""
        await trio.sleep_forever()

    peer = ScriptedPeer()
    async with talk(peer, forever) as session:
        handle = await session.create_response()
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        peer.call("resp_1", "fc_1", "call_1", "forever")
        await wait_all_tasks_blocked()
        handle.cancel()
        await peer.expect("response.cancel")
        peer.call("resp_1", "fc_2", "call_2", "forever")
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        answered = [
            (await peer.expect("conversation.item.create"))["item"]["call_id"] for _ in range(2)
        ]
        assert sorted(answered) == ["call_1", "call_2"]
        assert session.statistics().running_tools == 0
        await session.send_message("Go on.")
        await peer.expect("conversation.item.create")
        await peer.expect("response.create")


@pytest.mark.parametrize("metadata", [{f"key_{n}": "" for n in range(16)}, {"key": "x" * 513}])
async def test_metadata_beyond_the_bounds_is_refused_here(
    metadata: dict[str, str], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        with pytest.raises(UsageError, match="metadata"):
            await session.create_response(metadata=metadata)
        await peer.expect_nothing()


# --- responses beside the conversation ---------------------------------------------------------


async def test_a_response_beside_the_conversation_runs_at_once_and_leaves_no_trace(
    autojump_clock: MockClock,
) -> None:
    """D16: it waits for nobody, nobody waits for it, and nobody hears it but its handle."""
    peer = ScriptedPeer()
    async with talk(peer) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        before = len(taken(session.events))
        assert before
        handle = await session.create_response(
            conversation="none",
            input=[MessageItem(role="user", content=(InputText(text="Which topic is this?"),))],
            instructions="One word.",
        )
        create = await peer.expect("response.create")
        assert create["response"]["conversation"] == "none"
        assert create["response"]["input"][0]["content"][0]["text"] == "Which topic is this?"
        peer.begin_response("resp_beside", create, conversation_id=None)
        peer.send(
            {
                "type": "response.output_item.added",
                "response_id": "resp_beside",
                "output_index": 0,
                "item": message("item_beside", ""),
            }
        )
        peer.transcript("resp_beside", "item_beside", "Wea")
        peer.audio("resp_beside", "item_beside", b"\1\2\3\4")
        peer.transcript("resp_beside", "item_beside", "ther")
        said = message("item_beside", "Weather", spoken=True)
        peer.send(
            {
                "type": "response.output_item.done",
                "response_id": "resp_beside",
                "output_index": 0,
                "item": said,
            }
        )
        peer.end_response("resp_beside", output=[said], conversation_id=None)
        outcome = await handle
        assert (outcome.text, outcome.audio) == ("Weather", b"\1\2\3\4")
        assert taken(session.events) == []
        assert session.history == ()
        await session.send_message("Hello")
        await peer.expect("conversation.item.create")
        await peer.expect_nothing()  # resp_1 still runs
        peer.end_response("resp_1")
        await peer.expect("response.create")


async def test_an_interrupt_of_the_conversation_does_not_touch_what_runs_beside_it(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        handle = await session.create_response(conversation="none")
        create = await peer.expect("response.create")
        peer.begin_response("resp_beside", create, conversation_id=None)
        await wait_all_tasks_blocked()
        await session.interrupt()
        peer.user_speaks()
        await peer.expect_nothing()
        peer.transcript("resp_beside", "item_1", "done")
        peer.end_response("resp_beside", conversation_id=None)
        assert (await handle).text == "done"


async def test_many_may_run_beside_the_conversation_and_each_is_cancelled_by_name(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        handles = [await session.create_response(conversation="none") for _ in range(3)]
        created = [await peer.expect("response.create") for _ in range(3)]
        for number in (2, 0, 1):
            peer.begin_response(f"resp_{number}", created[number], conversation_id=None)
        await wait_all_tasks_blocked()
        handles[1].cancel()
        await peer.expect("response.cancel", response_id="resp_1")
        for number, status in enumerate(("completed", "cancelled", "completed")):
            peer.text(f"resp_{number}", f"item_{number}", f"text {number}")
            peer.end_response(f"resp_{number}", status, conversation_id=None)
        assert [(await handles[n]).text for n in (0, 2)] == ["text 0", "text 2"]
        with pytest.raises(ResponseFailed):
            await handles[1]


async def test_a_refused_response_beside_the_conversation_frees_no_slot(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        await session.send_message("Hello")
        await peer.expect("conversation.item.create")
        handle = await session.create_response(conversation="none")
        peer.refuse(await peer.expect("response.create"), "invalid_value", "no")
        with pytest.raises(RequestRefused):
            await handle
        await peer.expect_nothing()


# --- sending audio -----------------------------------------------------------------------------


def appended(peer: ScriptedPeer) -> int:
    return sum(frame["type"] == "input_audio_buffer.append" for frame in peer.received)


async def test_audio_is_sent_as_it_was_given_and_commit_asks_for_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        await session.send_audio(b"\0\1\2\3")
        await session.send_audio(b"\4\5", commit=True)
        await session.send_audio(b"", commit=True)
        await session.commit_audio()
        await session.clear_audio()
        await wait_all_tasks_blocked()
    kinds = [frame["type"] for frame in peer.received[1:]]
    buffer = "input_audio_buffer"
    assert kinds == [
        f"{buffer}.append",
        f"{buffer}.append",
        f"{buffer}.commit",
        f"{buffer}.commit",
        f"{buffer}.commit",
        f"{buffer}.clear",
    ]
    assert [frame["audio"] for frame in peer.received[1:3]] == ["AAECAw==", "BAU="]


async def test_audio_of_a_message_too_large_for_the_service_is_refused_here(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        with pytest.raises(UsageError, match="15728640"):
            await session.send_audio(bytes(15 * 1024 * 1024 + 1))
        await session.send_audio(b"\0\0")
        await wait_all_tasks_blocked()
        assert appended(peer) == 1


class NarrowWire:
    """A peer that reads only when a test lets it, behind a wire that takes two messages."""

    far: MemoryTransport

    @asynccontextmanager
    async def connect(self, dial: Dial) -> AsyncIterator[Transport]:
        near, self.far = memory_transport_pair(max_messages=2)
        for kind in ("session.created", "session.updated"):
            await self.far.send(json.dumps({"type": kind, "session": {"type": "realtime"}}))
        try:
            yield near
        finally:
            await near.aclose()

    async def read_audio(self) -> bytes:
        """The next piece of audio."""
        while True:
            frame = json.loads(await self.far.receive())
            if frame["type"] == "input_audio_buffer.append":
                return base64.b64decode(frame["audio"])


async def test_send_audio_waits_while_too_much_is_in_line_and_loses_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = NarrowWire()
    agent: RealtimeAgent[None] = RealtimeAgent(name="Assistant")
    pieces = [bytes([number]) * 400 for number in range(20)]
    sent: list[int] = []

    async def send(session: RealtimeSession[None]) -> None:
        for number, piece in enumerate(pieces):
            await session.send_audio(piece)
            sent.append(number)

    with trio.fail_after(PATIENCE):
        async with (
            open_realtime_session(
                agent,
                endpoint=TEST_ENDPOINT,
                transport=peer.connect,
                config=SessionConfig(max_outgoing_audio=1000),
            ) as session,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(send, session)
            await trio.sleep(10)
            # One is on the wire beside the settings; the others fill the bound, one over it.
            assert len(sent) == 4
            with trio.move_on_after(1) as scope:
                await session.send_audio(b"never sent")
            assert scope.cancelled_caught
            with trio.fail_after(1):
                await session.send_message("Words do not wait for room.")
            assert [await peer.read_audio() for _ in pieces] == pieces


async def test_statistics_count_what_goes_on(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        peer.add_item(message("item_1", "Hi"))
        await session.send_audio(b"\0\0")
        await wait_all_tasks_blocked()
        statistics = session.statistics()
        assert statistics.history_items == 1
        assert statistics.sent_frames == 2
        assert statistics.outgoing_frames == 0
        assert statistics.running_tools == 0
        assert statistics.events.buffered_events > 0


# --- usage -------------------------------------------------------------------------------------


async def test_usage_adds_up_all_responses_also_cancelled_ones(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    usage = {
        "total_tokens": 30,
        "input_tokens": 10,
        "output_tokens": 20,
        "input_token_details": {"text_tokens": 4, "audio_tokens": 6, "cached_tokens": 3},
        "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
    }
    async with talk(peer) as session:
        for number, status in enumerate(("completed", "cancelled", "failed")):
            peer.begin_response(f"resp_{number}")
            peer.end_response(f"resp_{number}", status, usage=usage)
        peer.begin_response("resp_untold")
        peer.end_response("resp_untold")
        await wait_all_tasks_blocked()
        total = session.usage
    assert (total.responses, total.total_tokens) == (3, 90)
    assert (total.input_tokens, total.output_tokens) == (30, 60)
    assert (total.input_audio_tokens, total.output_audio_tokens) == (18, 45)
    assert total.cached_tokens == 9
