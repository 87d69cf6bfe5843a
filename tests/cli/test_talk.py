"""The ``talk`` command against the local server in memory, on virtual time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from trio_realtime import LocalServerWarning, RealtimeAgent, ServerVad, SessionConfig, events
from trio_realtime.cli.assistant import default_agent
from trio_realtime.cli.console import Terminal
from trio_realtime.cli.endpoints import EndpointOptions
from trio_realtime.cli.exit import OK, UserFacingError
from trio_realtime.cli.talk import ReplyTracker, talk
from trio_realtime.cli.wav import bundled_speech, write_pcm

AGENT = RealtimeAgent[None](name="Clerk")


def end(status: Literal["completed", "cancelled", "failed"] = "completed") -> events.AgentEnd:
    return events.AgentEnd(agent=AGENT, turn_id="resp_1", response_id="resp_1", status=status)


@pytest.fixture
def no_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connect sessions to the local server in memory, which works with virtual time."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")):
            monkeypatch.delenv(name)
    with pytest.warns(LocalServerWarning):
        yield


async def run_talk(pcm: bytes, directory: Path, timeout: float = 60.0) -> int:
    write_pcm(directory / "source.wav", pcm)
    return await talk(
        default_agent(),
        EndpointOptions(),
        SessionConfig(turn_detection=ServerVad()),
        source=directory / "source.wav",
        target=directory / "reply.wav",
        realtime=True,
        timeout=timeout,
    )


@pytest.mark.usefixtures("no_service")
async def test_talk_reports_a_silent_file(autojump_clock: object, tmp_path: Path) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(UserFacingError, match="detected no speech in"), flatten_subgroups=True
    ):
        await run_talk(bytes(48_000), tmp_path)
    assert not (tmp_path / "reply.wav").exists()


@pytest.mark.usefixtures("no_service")
async def test_talk_waits_for_the_answer_to_the_last_of_two_turns(
    autojump_clock: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pause = bytes(48 * 6000)
    assert await run_talk(bundled_speech() + pause + bundled_speech(), tmp_path) == OK
    assert capsys.readouterr().out.count("I heard") == 2


async def test_speech_during_an_answer_needs_another_answer() -> None:
    reply = ReplyTracker(Terminal("Clerk", prompt=False))
    assert not reply.speech_detected
    for number in range(2):
        reply.handle_event(events.SpeechStarted(item_id=f"item_{number}", audio_start_ms=0))
        assert (reply.speech_detected, reply.complete) == (True, False)
        reply.handle_event(end("cancelled"))
        assert not reply.complete
        reply.handle_event(end())
        assert (reply.complete, reply.failed) == (True, False)
    reply.handle_event(end("failed"))
    assert (reply.complete, reply.failed) == (True, True)
