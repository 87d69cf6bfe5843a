"""Paced audio: frames of equal length, each delivered when it is time to play it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import begin_audio_response, end_audio, start_audio_response
from support.sessions import open_test_session
from trio_realtime import PCMU, events
from trio_realtime.errors import (
    ClosedByService,
    ConnectionLost,
    ConsumerTooSlow,
    RealtimeError,
    UsageError,
)
from trio_realtime.session import PacedAudio
from trio_realtime.testing import ScriptedPeer

ONE_SECOND = 48_000
"""Bytes of one second of audio."""


class Speaker:
    """Reads paced audio and records when each frame arrived."""

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


def numbered_audio(ms: int) -> bytes:
    """Return audio whose samples all differ, so that lost or repeated samples are noticed."""
    return b"".join((n % 65536).to_bytes(2, "little") for n in range(ms * 24))


# --- frames ------------------------------------------------------------------------------------


async def test_frames_arrive_at_their_playback_time(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        speaker = Speaker()
        async with session.paced_audio(frame_ms=20) as paced:
            nursery.start_soon(speaker.play, paced)
            begin_audio_response(peer, "resp_1", "item_1", numbered_audio(100))
            await trio.sleep(1)
            assert speaker.times == [0, 0.02, 0.04, 0.06, 0.08]
            assert [len(frame.data) for frame in speaker.frames] == [960] * 5
            assert speaker.data == numbered_audio(100)
            assert {frame.item_id for frame in speaker.frames} == {"item_1"}
            nursery.cancel_scope.cancel()


async def test_frames_have_equal_length_however_the_audio_was_split(
    autojump_clock: MockClock,
) -> None:
    """The audio arrives seven bytes at a time; the remainder waits for the end of its item."""
    peer = ScriptedPeer()
    whole = numbered_audio(50)
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        speaker = Speaker()
        async with session.paced_audio(frame_ms=20) as paced:
            nursery.start_soon(speaker.play, paced)
            peer.begin_response("resp_1")
            for start in range(0, len(whole), 7):
                peer.audio("resp_1", "item_1", whole[start : start + 7])
            await trio.sleep(1)
            assert [len(frame.data) for frame in speaker.frames] == [960, 960]
            end_audio(peer, "resp_1", "item_1")
            await trio.sleep(1)
            assert [len(frame.data) for frame in speaker.frames] == [960, 960, 480]
            assert speaker.data == whole
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("settings", "size", "frame", "silence"),
    [({}, 480, 960, b"\0"), ({"output_format": PCMU}, 80, 160, b"\xff")],
)
async def test_pad_fills_the_last_frame_with_silence(
    settings: dict[str, Any], size: int, frame: int, silence: bytes, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with (
        open_test_session(peer, **settings) as session,
        session.paced_audio(frame_ms=20, pad=True) as paced,
    ):
        peer.begin_response("resp_1")
        peer.audio("resp_1", "item_1", b"\x11" * size)
        peer.audio("resp_1", "item_2", b"\x22" * frame)
        first, second = await paced.receive(), await paced.receive()
        assert first.data == b"\x11" * size + silence * (frame - size)
        assert (second.data, second.item_id) == (b"\x22" * frame, "item_2")
        # Padding does not count as played audio.
        assert session.playback.position("item_1") in {0, 10}


async def test_frame_length_must_be_positive() -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError, match="frame_ms"):
            session.paced_audio(frame_ms=0)


# --- interruptions and playback ----------------------------------------------------------------


async def test_interruption_drops_frames_that_were_not_delivered(
    autojump_clock: MockClock,
) -> None:
    """Delivered audio counts as heard, so the truncation is exact. The next response plays at once."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        speaker = Speaker()
        async with session.paced_audio(frame_ms=20) as paced:
            nursery.start_soon(speaker.play, paced)
            begin_audio_response(peer, "resp_1", "item_1", numbered_audio(1000))
            await trio.sleep(0.205)
            peer.start_user_speech()
            await peer.expect("conversation.item.truncate", item_id="item_1", audio_end_ms=200)
            peer.end_response("resp_1", "cancelled", reason="turn_detected")
            await trio.sleep(1)
            assert len(speaker.frames) == 11  # ten were heard, one is playing
            peer.begin_response("resp_2")
            peer.audio("resp_2", "item_2", numbered_audio(20))
            await wait_all_tasks_blocked()
            assert speaker.frames[-1].response_id == "resp_2"
            nursery.cancel_scope.cancel()


async def test_slow_playback_moves_the_truncation(autojump_clock: MockClock) -> None:
    """Each frame takes 50 ms instead of 20, so less was heard than the clock suggests."""
    peer = ScriptedPeer()
    async with (
        open_test_session(peer) as session,
        trio.open_nursery() as nursery,
        session.paced_audio(frame_ms=20) as paced,
    ):

        async def play() -> None:
            async for _ in paced:
                await trio.sleep(0.05)

        nursery.start_soon(play)
        begin_audio_response(peer, "resp_1", "item_1", numbered_audio(5000))
        await trio.sleep(0.51)
        await session.interrupt()
        await peer.expect("response.cancel")
        await peer.expect("conversation.item.truncate", audio_end_ms=200)
        nursery.cancel_scope.cancel()


async def test_playback_follows_the_clock_again_after_the_block(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        async with session.paced_audio() as frames:
            await start_audio_response(peer, "resp_1", "item_1", audio=2)
            await frames.receive()
        peer.end_response("resp_1")
        with trio.fail_after(1):
            await session.drain()
        await start_audio_response(peer, "resp_2", "item_2", audio=5)
        await trio.sleep(2)
        peer.start_user_speech()
        truncate = await peer.expect("conversation.item.truncate")
        assert (truncate["item_id"], truncate["audio_end_ms"]) == ("item_2", 2000)


async def test_playback_report_of_an_unknown_item_is_ignored(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        session.playback.played("unknown", 0, 20)
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.end_response("resp_1")
        with trio.fail_after(2):
            await session.drain()


# --- ending ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1006])
async def test_all_frames_are_delivered_in_real_time_after_the_session_ended(
    code: int, autojump_clock: MockClock
) -> None:
    """Then iteration raises, as for other consumers."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        speaker = Speaker()
        async with session.paced_audio(frame_ms=20) as paced:
            peer.begin_response("resp_1")
            peer.audio("resp_1", "item_1", numbered_audio(90))
            peer.close(code)
            await wait_all_tasks_blocked()
            await speaker.play(paced)
    assert speaker.data == numbered_audio(90)
    assert speaker.times == [0, 0.02, 0.04, 0.06, 0.08]
    assert type(speaker.error) is (ConnectionLost if code == 1006 else ClosedByService)


async def test_end_of_the_session_during_a_frame_loses_no_audio(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        speaker = Speaker()
        async with session.paced_audio(frame_ms=20) as paced:
            nursery.start_soon(speaker.play, paced)
            peer.begin_response("resp_1")
            peer.audio("resp_1", "item_1", numbered_audio(100))
            await trio.sleep(0.03)
            peer.close(1000)
            await trio.sleep(1)
    assert speaker.data == numbered_audio(100)


async def test_receive_raises_after_the_block(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        async with session.paced_audio() as paced:
            peer.begin_response("resp_1")
            peer.audio("resp_1", "item_1", numbered_audio(100))
            await paced.receive()
        with pytest.raises(trio.ClosedResourceError):
            await paced.receive()


async def test_cancelled_receive_loses_no_audio(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    got = b""
    async with open_test_session(peer) as session, session.paced_audio(frame_ms=20) as paced:
        peer.begin_response("resp_1")
        peer.audio("resp_1", "item_1", numbered_audio(100))
        while len(got) < 4800:
            with trio.move_on_after(0.003):
                got += (await paced.receive()).data
    assert got == numbered_audio(100)


# --- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1, 10], ids=["at the limit", "ten times the limit"])
async def test_audio_that_waits_to_be_played_is_bounded(
    seconds: int, autojump_clock: MockClock
) -> None:
    """The audio that arrived before is played, and then the stream ends."""
    peer = ScriptedPeer()
    async with (
        open_test_session(peer, max_buffered_audio=ONE_SECOND) as session,
        trio.open_nursery() as nursery,
    ):
        speaker = Speaker()
        async with session.paced_audio() as paced:
            nursery.start_soon(speaker.play, paced)
            await trio.lowlevel.checkpoint()
            peer.begin_response("resp_1")
            for tenth in range(seconds * 10):
                peer.audio("resp_1", "item_1", numbered_audio(1000)[tenth % 10 * 4800 :][:4800])
            await wait_all_tasks_blocked()
            assert paced.statistics().buffered_audio == ONE_SECOND - 960  # one frame plays
            assert (paced.statistics().dropped_audio > 0) is (seconds == 10)
            await trio.sleep(3)
            assert speaker.data == numbered_audio(1000)
            assert speaker.times[-1] == 0.98
            assert isinstance(speaker.error, ConsumerTooSlow) is (seconds == 10)
            nursery.cancel_scope.cancel()


async def test_the_oldest_audio_that_waits_to_be_played_is_dropped(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    audio = numbered_audio(1000)
    async with (
        open_test_session(
            peer, max_buffered_audio=ONE_SECOND // 2, overflow="drop_oldest_audio"
        ) as session,
        trio.open_nursery() as nursery,
    ):
        speaker = Speaker()
        async with session.paced_audio() as paced:
            nursery.start_soon(speaker.play, paced)
            peer.begin_response("resp_1")
            for number in range(3):
                for start in range(0, ONE_SECOND, 4800):
                    peer.audio("resp_1", f"item_{number}", audio[start : start + 4800])
            await wait_all_tasks_blocked()
            statistics = paced.statistics()
            assert statistics.buffered_audio <= ONE_SECOND // 2
            assert statistics.dropped_audio >= 2 * ONE_SECOND
            end_audio(peer, "resp_1", "item_2")
            await trio.sleep(5)
            assert speaker.error is None
            assert speaker.data.endswith(audio[ONE_SECOND // 2 :])
            assert len(speaker.data) + paced.statistics().dropped_audio == 3 * ONE_SECOND
            # What was dropped counts as passed: the end of the item was heard.
            assert session.playback.position("item_2") == 1000
            nursery.cancel_scope.cancel()


async def test_a_limit_below_one_frame_loses_whole_samples_only(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with (
        open_test_session(peer, max_buffered_audio=100, overflow="drop_oldest_audio") as session,
        trio.open_nursery() as nursery,
    ):
        speaker = Speaker()
        async with session.paced_audio() as paced:
            nursery.start_soon(speaker.play, paced)
            peer.begin_response("resp_1")
            for start in range(0, ONE_SECOND, 999):
                peer.audio("resp_1", "item_1", numbered_audio(1000)[start : start + 999])
                await wait_all_tasks_blocked()
            end_audio(peer, "resp_1", "item_1")
            await trio.sleep(5)
            assert speaker.error is None
            dropped = paced.statistics().dropped_audio
            assert dropped % 960 == 0
            assert len(speaker.data) + dropped == ONE_SECOND
            nursery.cancel_scope.cancel()
