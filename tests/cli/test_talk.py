"""The ``talk`` command against the local server in memory, on virtual time."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from trio_realtime import (
    LocalServerWarning,
    RealtimeAgent,
    ServerVad,
    SessionConfig,
    Transcription,
    events,
)
from trio_realtime.audio import read_wav
from trio_realtime.cli.assistant import default_agent
from trio_realtime.cli.console import Terminal
from trio_realtime.cli.endpoints import EndpointOptions
from trio_realtime.cli.exit import OK, UserFacingError
from trio_realtime.cli.spoken import SpokenTerminal
from trio_realtime.cli.talk import STANDARD_STREAM, ReplyTracker, TalkOptions, talk
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


async def run_talk(pcm: bytes, directory: Path, **options: Any) -> int:
    write_pcm(directory / "source.wav", pcm)
    return await talk(
        default_agent(),
        EndpointOptions(),
        SessionConfig(turn_detection=ServerVad(), transcription=Transcription(model="local")),
        TalkOptions(source=directory / "source.wav", target=directory / "reply.wav", **options),
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
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        *("you", "Assistant", "you", "Assistant"),
        f"wrote {tmp_path / 'reply.wav'}",
    ]
    seconds = read_wav(tmp_path / "reply.wav").duration_ms / 1000
    assert lines[-1].endswith(f": {seconds:.1f} s of speech")
    assert 3 < seconds < 8


@pytest.mark.usefixtures("no_service")
async def test_a_reply_on_standard_output_leaves_the_text_to_stderr(
    autojump_clock: object, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    write_pcm(tmp_path / "source.wav", bundled_speech())
    options = TalkOptions(source=tmp_path / "source.wav", target=STANDARD_STREAM, realtime=False)
    config = SessionConfig(turn_detection=ServerVad())
    assert await talk(default_agent(), EndpointOptions(), config, options) == OK
    output = capfdbinary.readouterr()
    assert read_wav(io.BytesIO(output.out)).duration_ms > 1000
    assert output.err.startswith(b"Assistant: I heard 2.")


# --- overwriting ---------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Make standard input a terminal; return the other end of it."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("trio_realtime.cli.talk._STDIN", theirs)
        yield ours
    os.close(ours)


@pytest.mark.usefixtures("no_service")
@pytest.mark.parametrize("answer", ["y", "YES"])
async def test_a_reply_is_overwritten_after_a_question(
    tmp_path: Path, terminal: int, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reply.wav").write_bytes(b"old")
    os.write(terminal, f"{answer}\n".encode())
    assert await run_talk(bundled_speech(), tmp_path, realtime=False) == OK
    assert "reply.wav exists. Overwrite it? [y/N]" in capsys.readouterr().err
    assert read_wav(tmp_path / "reply.wav").duration_ms > 1000


@pytest.mark.parametrize("answer", ["n", "", "yesterday"])
async def test_every_other_answer_sends_and_overwrites_nothing(
    tmp_path: Path, terminal: int, answer: str
) -> None:
    (tmp_path / "reply.wav").write_bytes(b"old")
    os.write(terminal, f"{answer}\n".encode())
    with pytest.raises(UserFacingError, match="was not overwritten, and nothing was sent"):
        await run_talk(bundled_speech(), tmp_path)
    assert (tmp_path / "reply.wav").read_bytes() == b"old"


async def test_without_a_terminal_force_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reply.wav").write_bytes(b"old")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UserFacingError, match=r"reply\.wav exists; overwrite it with --force"):
        await run_talk(bundled_speech(), tmp_path)
    assert (tmp_path / "reply.wav").read_bytes() == b"old"


@pytest.mark.usefixtures("no_service")
async def test_force_overwrites(autojump_clock: object, tmp_path: Path) -> None:
    (tmp_path / "reply.wav").write_bytes(b"old")
    assert await run_talk(bundled_speech(), tmp_path, force=True) == OK
    assert read_wav(tmp_path / "reply.wav").duration_ms > 1000


# --- the end of the reply ------------------------------------------------------------------------


async def test_speech_during_an_answer_needs_another_answer() -> None:
    reply = ReplyTracker(SpokenTerminal(Terminal("Clerk", prompt=False), transcribes=True))
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
