"""A connection that stalls: old audio is dropped, and urgent messages overtake the rest."""

from __future__ import annotations

import json
import math
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.service import silence
from support.sessions import PassivePeer, open_test_session
from trio_realtime import RealtimeSession, events
from trio_realtime.errors import SessionClosed
from trio_realtime.session.connection.send_queue import SendQueue
from trio_realtime.session.ending import EndState

FRAME = 960
"""Bytes of 20 ms of audio."""


@attrs.define
class Link:
    """A send queue with its writer, which a test lets write."""

    max_latency: float = 2.0
    max_audio: int = 1_000_000
    stalls: list[float] = attrs.field(factory=list)
    queue: SendQueue = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.queue = SendQueue(
            EndState(),
            max_audio=self.max_audio,
            max_text=1_000_000,
            max_latency=self.max_latency,
            bytes_per_ms=48,
            report_stall=self.stalls.append,
        )

    def audio(self, name: str, size: int = FRAME) -> None:
        self.queue.put(name, audio=size)

    def text(self, *names: str) -> None:
        for name in names:
            self.queue.put(name, text=len(name))

    async def write_all(self) -> list[str]:
        written: list[str] = []
        while self.queue.waiting:
            with trio.move_on_after(0) as scope:
                queued = await self.queue.wait_message()
                written.append(queued.message)
                self.queue.mark_sent(queued)
            if scope.cancelled_caught:
                break
        return written

    async def speak(self, seconds: float) -> None:
        """Put 20 ms of audio into the queue every 20 ms."""
        for number in range(round(seconds * 50)):
            self.audio(f"audio {number}")
            await trio.sleep(0.02)


@pytest.mark.parametrize("stall", [2.0, 20.0], ids=["at the limit", "ten times the limit"])
async def test_audio_that_has_waited_too_long_is_dropped(
    stall: float, autojump_clock: MockClock
) -> None:
    link = Link()
    await link.speak(stall)
    assert link.queue.audio <= 101 * FRAME
    written = await link.write_all()
    dropped = round(stall * 50) - len(written)
    assert dropped == pytest.approx((stall - 2) * 50 + 1, abs=1)
    assert written == [f"audio {number}" for number in range(dropped, round(stall * 50))]
    assert link.queue.dropped_audio == dropped * FRAME
    assert link.stalls == [2.0]
    assert (link.queue.audio, link.queue.waiting) == (0, 0)


async def test_each_stall_is_reported_once(autojump_clock: MockClock) -> None:
    link = Link()
    for _ in range(3):
        await link.speak(5)
        await link.write_all()
    assert link.stalls == [2.0, 2.0, 2.0]


async def test_without_a_limit_all_audio_is_delivered(autojump_clock: MockClock) -> None:
    link = Link(max_latency=math.inf)
    await link.speak(20)
    assert len(await link.write_all()) == 1000
    assert link.stalls == []


async def test_a_recording_that_is_queued_at_once_is_late_only_by_its_own_pace(
    autojump_clock: MockClock,
) -> None:
    link = Link()
    for second in range(10):
        link.audio(f"second {second}", 48_000)
    await trio.sleep(5)
    written = await link.write_all()
    assert written == [f"second {second}" for second in range(4, 10)]
    link.audio("later")  # the recording was written, so this is spoken now
    await trio.sleep(2)
    assert await link.write_all() == []


async def test_a_commit_stays_behind_its_audio(autojump_clock: MockClock) -> None:
    link = Link()
    link.audio("old")
    link.text("commit")
    await trio.sleep(1)
    link.audio("new")
    link.text("other commit", "create")
    assert await link.write_all() == ["old", "commit", "new", "other commit", "create"]
    link.audio("old")
    link.text("commit")
    await trio.sleep(3)
    assert await link.write_all() == ["commit"]


async def test_urgent_messages_overtake_only_audio(autojump_clock: MockClock) -> None:
    link = Link()
    link.audio("1")
    link.text("create")
    link.audio("2")
    link.audio("3")
    link.queue.put("cancel", text=6, urgent=True)
    link.queue.put("truncate", text=8, urgent=True)
    link.text("item")
    assert await link.write_all() == ["1", "create", "cancel", "truncate", "2", "3", "item"]


async def test_an_urgent_message_does_not_overtake_the_audio_that_is_being_written(
    autojump_clock: MockClock,
) -> None:
    link = Link()
    link.audio("1")
    link.audio("2")
    queued = await link.queue.wait_message()
    assert queued.message == "1"
    link.queue.put("cancel", text=6, urgent=True)
    assert await link.queue.wait_message() is queued
    link.queue.discard_last_audio()
    assert (link.queue.waiting, link.queue.audio) == (2, FRAME)
    link.queue.mark_sent(queued)
    assert await link.write_all() == ["cancel"]


async def test_clearing_drops_the_audio_behind_the_last_message(autojump_clock: MockClock) -> None:
    link = Link()
    link.audio("1")
    link.text("commit")
    link.audio("2")
    link.queue.discard_last_audio()
    link.text("clear")
    assert link.queue.audio == FRAME
    assert await link.write_all() == ["1", "commit", "clear"]
    assert link.queue.dropped_audio == 0


async def test_a_message_that_is_written_while_the_queue_is_cleared_counts_once(
    autojump_clock: MockClock,
) -> None:
    link = Link()
    link.audio("1")
    queued = await link.queue.wait_message()
    link.queue.clear()
    link.audio("2")
    link.queue.mark_sent(queued)
    assert (link.queue.waiting, link.queue.audio) == (1, FRAME)
    assert await link.write_all() == ["2"]


async def test_a_write_that_ends_after_its_connection_does_not_count_for_the_next_message(
    autojump_clock: MockClock,
) -> None:
    link = Link()
    link.audio("1")
    old = await link.queue.wait_message()
    link.queue.clear()
    link.audio("2")
    await link.queue.wait_message()
    link.queue.mark_sent(old)
    assert (link.queue.waiting, link.queue.audio) == (1, FRAME)
    assert await link.write_all() == ["2"]


async def test_a_sender_that_waits_for_space_goes_on_when_audio_is_too_old(
    autojump_clock: MockClock,
) -> None:
    link = Link(max_audio=2 * FRAME)
    link.audio("1")
    link.audio("2")
    began = trio.current_time()
    await link.queue.wait_for_audio_space()
    assert trio.current_time() - began == pytest.approx(2.0)
    link.audio("3")
    assert await link.write_all() == ["2", "3"]


# --- in a session -------------------------------------------------------------------------------


class StalledPeer(PassivePeer):
    """A peer that reads nothing until :meth:`resume`."""

    def __init__(self) -> None:
        super().__init__(max_messages=2)

    async def resume(self) -> list[dict[str, Any]]:
        """Read all frames that arrive until nothing more does."""
        frames: list[dict[str, Any]] = []
        with trio.move_on_after(0.001):
            while True:
                frames.append(json.loads(await self.far.receive()))
        return frames


def open_stalled(peer: PassivePeer, **settings: Any) -> Any:
    return open_test_session(
        peer, request_timeout=None, reconnect=None, ping_interval=None, **settings
    )


async def speak(session: RealtimeSession[None], seconds: float) -> None:
    for _ in range(round(seconds * 50)):
        await session.send_audio(silence(0.02))
        await trio.sleep(0.02)


async def test_a_stalled_connection_delivers_no_old_audio(autojump_clock: MockClock) -> None:
    peer = StalledPeer()
    async with open_stalled(peer) as session:
        await speak(session, 15)
        statistics = session.statistics()
        assert statistics.outgoing_audio <= 102 * FRAME
        frames = await peer.resume()
        appends = [frame for frame in frames if frame["type"] == "input_audio_buffer.append"]
        # The connection itself holds one, and the writer another one.
        assert 95 <= len(appends) <= 102
        total = 15 * 50 * FRAME
        assert session.statistics().dropped_outgoing_audio == total - len(appends) * FRAME
        (warning,) = drain_events(session.events, events.SessionWarning)
        assert warning.code == "input_audio_dropped"
        await speak(session, 1)
        assert len(await peer.resume()) == 50


async def test_an_interruption_does_not_wait_behind_audio(autojump_clock: MockClock) -> None:
    peer = StalledPeer()
    async with open_stalled(peer) as session:
        for frame in (
            {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
            {
                "type": "response.output_audio.delta",
                "response_id": "resp_1",
                "item_id": "item_1",
                "content_index": 0,
                "delta": "AAAA" * 12_000,
            },
        ):
            await peer.far.send(json.dumps(frame))
        await wait_all_tasks_blocked()
        await speak(session, 1)
        await session.interrupt()
        kinds = [frame["type"] for frame in await peer.resume()]
        appends = kinds.count("input_audio_buffer.append")
        urgent = kinds.index("response.cancel")
        assert appends == 50
        assert urgent <= 4  # behind what the connection and the writer hold
        assert kinds.index("conversation.item.truncate") <= 4


async def test_cleared_audio_is_not_sent(autojump_clock: MockClock) -> None:
    peer = StalledPeer()
    async with open_stalled(peer) as session:
        await speak(session, 1)
        await session.clear_audio()
        kinds = [frame["type"] for frame in await peer.resume()]
        assert kinds[-1] == "input_audio_buffer.clear"
        assert kinds.count("input_audio_buffer.append") <= 2


async def test_the_end_of_a_session_during_a_stall_warns_of_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = StalledPeer()
    async with open_stalled(peer, close_timeout=10) as session:
        await speak(session, 1)
        await session.aclose()
        with pytest.raises(SessionClosed):
            await session.send_audio(silence(0.02))
        assert drain_events(session.events, events.SessionWarning) == []
