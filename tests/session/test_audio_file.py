"""Sending recorded audio: pace, formats, the silence that ends the turn, and errors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pybase64
import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import open_session_with, open_test_session
from trio_realtime import PCMU, SemanticVad, ServerVad, errors
from trio_realtime.audio import PcmAudio, frames, rms_dbfs, silence, write_wav
from trio_realtime.session.audio_file import send_paced, silence_that_ends_turn
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import PCM24K, PCMA, UNSET, AudioFormat

SPEECH = PcmAudio(b"\x00\x10" * 24 * 190)
"""190 ms."""


def sent_audio(peer: ScriptedPeer) -> list[bytes]:
    return [pybase64.b64decode(frame["audio"]) for frame in peer.received if "audio" in frame]


@pytest.mark.parametrize(
    ("turn_detection", "ms"),
    [
        (None, 0),
        (UNSET, 1000),
        (ServerVad(), 1000),
        (ServerVad(silence_duration_ms=200), 700),
        (SemanticVad(), 4500),
        (SemanticVad(eagerness="high"), 2500),
        (SemanticVad(eagerness="low"), 8500),
    ],
)
def test_the_silence_is_longer_than_what_the_service_waits_for(
    turn_detection: Any, ms: int
) -> None:
    assert silence_that_ends_turn(turn_detection) == ms


@pytest.mark.parametrize("realtime", [True, False])
async def test_frames_are_sent_when_they_are_due(autojump_clock: MockClock, realtime: bool) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        start = trio.current_time()
        await session.send_file(SPEECH, realtime=realtime, silence_ms=110)
        took = trio.current_time() - start
        await wait_all_tasks_blocked()
    assert took == pytest.approx(14 * 0.02 if realtime else 0)
    assert sent_audio(peer) == list(frames(SPEECH.data + silence(110)))


@given(
    delays=st.lists(st.floats(0, 0.1), min_size=20, max_size=20),
    frame_ms=st.floats(5, 60),
    rate=st.sampled_from([8_000, 11_025, 24_000]),
)
def test_a_slow_connection_delays_a_frame_but_not_the_schedule(
    delays: list[float], frame_ms: float, rate: int
) -> None:
    audio_format = AudioFormat(rate=rate)
    size = len(next(frames(bytes(rate), audio_format, frame_ms=frame_ms)))
    times: list[float] = []

    async def send(_frame: bytes) -> None:
        times.append(trio.current_time())
        await trio.sleep(delays[len(times) - 1])

    async def main() -> float:
        start = trio.current_time()
        await send_paced(
            send, bytes(size * 20), audio_format, realtime=True, frame_ms=frame_ms, silence_ms=0
        )
        return start

    start = trio.run(main, clock=MockClock(autojump_threshold=0))
    free = start
    for number, (sent_at, delay) in enumerate(zip(times, delays, strict=True)):
        due = start + number * size / 2 / rate
        assert sent_at == pytest.approx(max(due, free))
        free = sent_at + delay


async def test_the_settings_decide_the_silence_and_the_file_has_no_frame_after_it(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(
        peer, turn_detection=ServerVad(silence_duration_ms=300)
    ) as session:
        await session.send_file(SPEECH)
        await session.update_settings(turn_detection=None)
        await session.send_file(SPEECH)
        await wait_all_tasks_blocked()
    assert b"".join(sent_audio(peer)) == SPEECH.data + silence(800) + SPEECH.data


async def test_a_muted_session_sends_nothing_of_a_file(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with (
        open_test_session(peer, turn_detection=None) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(session.send_file, SPEECH)
        await trio.sleep(0.05)
        session.mute(True)
        await trio.sleep(0.05)
        session.mute(False)
    assert b"".join(sent_audio(peer)) == SPEECH.data[: 3 * 960] + SPEECH.data[5 * 960 :]


async def test_cancelling_stops_between_two_frames(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with trio.move_on_after(0.05):
            await session.send_file(SPEECH)
        await session.clear_audio()
        await wait_all_tasks_blocked()
    assert [frame["type"].rpartition(".")[2] for frame in peer.received[1:]] == [
        *("append", "append", "append", "clear"),
    ]


@pytest.mark.parametrize("audio_format", [PCM24K, PCMU, PCMA])
async def test_a_file_is_converted_to_the_input_format(
    tmp_path: Path, audio_format: AudioFormat
) -> None:
    path = tmp_path / "speech.wav"
    write_wav(path, PcmAudio(SPEECH.data, 48_000))
    peer = ScriptedPeer()
    async with open_session_with(peer, input_format=audio_format, turn_detection=None) as session:
        assert session.input_format.type == audio_format.type
        for source in (path, str(path), io.BytesIO(path.read_bytes())):
            await session.send_file(source, realtime=False)
        await wait_all_tasks_blocked()
    sent = PcmAudio.decode(b"".join(sent_audio(peer)), audio_format)
    assert sent.duration_ms == pytest.approx(3 * 95, abs=1)
    assert rms_dbfs(sent.data) == pytest.approx(rms_dbfs(SPEECH.data), abs=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": PcmAudio(b"")}, "there is no audio to send"),
        ({"source": io.BytesIO(b"hello")}, "is not a WAV file"),
        ({"source": SPEECH, "frame_ms": 0}, "frame_ms must be more than 0"),
        ({"source": SPEECH, "silence_ms": -1}, "must not be negative"),
        ({"source": b"RIFF"}, "expected the path of a WAV file, .* got b'RIFF'"),
    ],
    ids=["empty", "text", "frame_ms", "silence_ms", "bytes"],
)
async def test_what_cannot_be_sent_is_rejected(arguments: dict[str, Any], message: str) -> None:
    peer = ScriptedPeer()
    async with open_session_with(peer) as session:
        with pytest.raises(errors.UsageError, match=message):
            await session.send_file(**arguments)
        with pytest.raises(FileNotFoundError):
            await session.send_file("/no/such/file.wav")
    assert sent_audio(peer) == []
    with pytest.raises(errors.SessionClosed):
        await session.send_file(SPEECH)
