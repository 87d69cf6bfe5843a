"""What a managed session passes to its recorder."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from support.gateway import make_spec
from trio_realtime import RealtimeSession
from trio_realtime.core.inputs import Interrupt
from trio_realtime.local import local_connector
from trio_realtime.server.managed import ManagedSession, SessionStores
from trio_realtime.server.managed.recording import RunRecorder, format_problem
from trio_realtime.server.recording import CallTimeline, PlacedAudio
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.wire import PCM24K, PCMA, PCMU, AudioFormat

LONG_ANSWER = "one two three four five six seven eight nine ten " * 10


class TimelineRecorder:
    """A recorder without files.

    Attributes:
        placed: the pieces of the agent's track: the item, and the seconds at which the piece begins.
    """

    def __init__(self) -> None:
        self._timeline = CallTimeline(PCM24K, PCM24K, start=trio.current_time())
        self.placed: list[tuple[str, float]] = []

    def agent_audio(self, *arguments: Any) -> None:
        self._note(self._timeline.agent_audio(*arguments))

    def agent_played(self, *arguments: Any) -> None:
        self._note(self._timeline.agent_played(*arguments))

    def agent_interrupted(self, *arguments: Any) -> None:
        self._note(self._timeline.agent_interrupted(*arguments))

    def _note(self, outputs: Any) -> None:
        for output in outputs:
            if isinstance(output, PlacedAudio):
                assert output.item_id is not None
                self.placed.append((output.item_id, output.start / 24_000))


async def test_an_interruption_that_was_not_read_yet_does_not_move_the_track(
    autojump_clock: MockClock,
) -> None:
    """The playback knows of an interruption before the task that reads the events does."""
    local = local_connector()
    managed = ManagedSession(make_spec(), endpoint=local.endpoint, connector=local)
    async with managed.managed() as session, trio.open_nursery() as nursery:
        files = TimelineRecorder()
        began_at = trio.current_time()
        recorder = session._recorder = RunRecorder(cast("Any", files))
        nursery.start_soon(recorder.follow_playback, session.session)
        await session.send_text(LONG_ANSWER)
        await trio.sleep(0.55)
        [position] = session.session.playback.positions()
        assert position.played_ms < 600 < position.received_ms
        session.session._runtime.feed(Interrupt())
        recorder.record_heard(session.session)  # before the event of the interruption was read
        await trio.sleep(0.45)
        asked_at = trio.current_time() - began_at
        await session.send_text("Hello!")
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    starts = dict(reversed(files.placed))
    [first, second] = sorted(starts.values())
    assert first < 0.1
    assert asked_at <= second < asked_at + 0.3


async def test_audio_in_another_format_than_requested_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RealtimeSession, "output_format", PCMU)
    local = local_connector()
    stores = SessionStores(recordings=tmp_path)
    managed = ManagedSession(make_spec(), endpoint=local.endpoint, connector=local, stores=stores)
    async with managed.managed() as session:
        await session.send_audio(b"\x10\x20" * 4800)
        await session.send_text("Hello!")
        async for event in session.stream_events():
            assert isinstance(event, RpcEvent)
            if event.type == "realtime_agent_end":
                break
    assert managed.end is not None
    [failure] = managed.end.failures
    assert failure.part == "recording"
    assert "audio/pcmu with 8 bytes per ms for the agent" in failure.message
    assert not any(frames_in(tmp_path))


def frames_in(directory: Path) -> bytes:
    [path] = directory.rglob("*.wav")
    with wave.open(str(path)) as file:
        frames: bytes = file.readframes(file.getnframes())
        return frames


def test_a_rate_that_is_not_given_is_the_usual_one() -> None:
    pcm = AudioFormat(type="audio/pcm")
    assert format_problem((PCM24K, PCMU), (pcm, AudioFormat(type="audio/pcmu", rate=8000))) is None
    assert format_problem((PCM24K, PCMU), (PCM24K, PCMA)) is not None
    assert format_problem((PCM24K, PCMU), (AudioFormat(type="audio/pcm", rate=8000), PCMU))
