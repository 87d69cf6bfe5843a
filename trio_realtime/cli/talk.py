"""The ``talk`` command with a file: send the speech in it, print and record the agent's reply."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import IO

import attrs
import trio

from trio_realtime import RealtimeAgent, RealtimeSession, SessionConfig, events
from trio_realtime.audio import PcmAudio, read_wav, write_wav

from .audio_io import Recorder
from .console import Terminal
from .endpoints import EndpointOptions, open_session
from .exit import FAILED, OK, UserFacingError, print_message
from .progress import progress_bar
from .spoken import SpokenTerminal
from .wav import check_writable, read_speech, write_pcm

#: Seconds that the service may take to detect speech after all audio was sent.
_SPEECH_DETECTION_TIMEOUT = 5.0
#: Seconds that the transcript of the speech may take after the reply.
_TRANSCRIPT_TIMEOUT = 3.0
_STDIN = 0
#: The path that stands for standard input or output.
STANDARD_STREAM = Path("-")


@attrs.frozen(kw_only=True)
class TalkOptions:
    """What to send, and where the reply goes.

    Args:
        source: WAV file with the speech; ``-`` for standard input.
        target: WAV file for the reply; ``-`` for standard output. Text then goes to stderr.
        force: overwrite the file without asking.
        realtime: send the audio at the speed of speech.
        timeout: seconds to wait for the reply after all audio was sent.
    """

    source: Path
    target: Path = Path("reply.wav")
    force: bool = False
    realtime: bool = True
    timeout: float = 60.0


async def talk(
    agent: RealtimeAgent[None],
    service: EndpointOptions,
    config: SessionConfig,
    options: TalkOptions,
) -> int:
    """Send the speech, wait until the agent has answered all of it, write the reply.

    Raises:
        UserFacingError: a file cannot be read or written or must not be overwritten, the service
            detected no speech, or no complete reply came in time.
        RealtimeError: the session could not be opened, or it failed.
    """
    audio = await trio.to_thread.run_sync(_read, options.source, abandon_on_cancel=True)
    output = sys.stdout
    to_stdout = options.target == STANDARD_STREAM
    with redirect_stdout(sys.stderr if to_stdout else output):
        if not to_stdout:
            check_writable(options.target)
            await _confirm_overwriting(options)
        reply = await _converse(agent, service, config, options, audio)
        pcm = reply.recorder.pcm()
        if not pcm:
            print_message("the reply has no audio, so nothing was written")
        else:
            await _write(options.target, pcm, output.buffer)
    return FAILED if reply.failed else OK


def _read(source: Path) -> PcmAudio:
    if source != STANDARD_STREAM:
        return read_speech(source)
    audio = read_wav(io.FileIO(_STDIN, closefd=False)).resample(24_000)
    if not audio.data:
        raise UserFacingError("standard input contains no audio")
    return audio


async def _confirm_overwriting(options: TalkOptions) -> None:
    """Ask before a file is overwritten.

    Raises:
        UserFacingError: the user does not want that, or cannot be asked.
    """
    target = options.target
    if options.force or not target.exists():
        return
    if not sys.stdin.isatty():
        raise UserFacingError(
            f"{target} exists; overwrite it with --force, or name another --output"
        )
    print(f"{target} exists. Overwrite it? [y/N] ", end="", file=sys.stderr, flush=True)
    # Not sys.stdin: a thread that is abandoned in it keeps the interpreter from exiting.
    answer = await trio.to_thread.run_sync(os.read, _STDIN, 1024, abandon_on_cancel=True)
    if answer.strip().lower() not in (b"y", b"yes"):
        raise UserFacingError(f"{target} was not overwritten, and nothing was sent")


async def _write(target: Path, pcm: bytes, output: IO[bytes]) -> None:
    seconds = len(pcm) / 48_000
    if target == STANDARD_STREAM:
        await trio.to_thread.run_sync(write_wav, output, PcmAudio(pcm))
        await trio.to_thread.run_sync(output.flush)
    else:
        await trio.to_thread.run_sync(write_pcm, target, pcm)
        print(f"wrote {target}: {seconds:.1f} s of speech")


async def _converse(
    agent: RealtimeAgent[None],
    service: EndpointOptions,
    config: SessionConfig,
    options: TalkOptions,
    audio: PcmAudio,
) -> ReplyTracker:
    async with open_session(agent, service, config) as session:
        terminal = Terminal(agent.name, prompt=False)
        reply = ReplyTracker(SpokenTerminal(terminal, transcribes=bool(config.transcription)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_follow_events, session, reply)
            async with progress_bar("sending", audio.duration_ms / 1000):
                await session.send_file(audio, realtime=options.realtime)
            await _wait_reply(reply, options)
            nursery.cancel_scope.cancel(reason="the reply is complete")
    return reply


async def _follow_events(session: RealtimeSession[None], reply: ReplyTracker) -> None:
    async for event in session:
        reply.handle_event(event)
    raise UserFacingError("the service ended the session before the reply was complete")


async def _wait_reply(reply: ReplyTracker, options: TalkOptions) -> None:
    with trio.move_on_after(_SPEECH_DETECTION_TIMEOUT) as detection_scope:
        await reply.wait_speech_detected()
    if detection_scope.cancelled_caught:
        raise UserFacingError(
            f"the service detected no speech in {options.source}; check that the recording is loud "
            "enough"
        )
    with trio.move_on_after(options.timeout) as reply_scope:
        await reply.wait_complete()
    if reply_scope.cancelled_caught:
        raise UserFacingError(
            f"no complete reply came within {options.timeout:g} s; use --timeout to wait longer"
        )
    with trio.move_on_after(_TRANSCRIPT_TIMEOUT):
        await reply.wait_transcribed()


class ReplyTracker:
    """Shows and records the agent's reply, and tracks whether it is complete.

    Attributes:
        recorder: the audio of the reply, as far as it was heard.
        speech_detected: whether the service has detected the user's speech.
        complete: whether the agent has answered all speech detected so far.
        failed: whether the last answer failed or was incomplete.
    """

    def __init__(self, terminal: SpokenTerminal) -> None:
        self.recorder: Recorder = Recorder()
        self.speech_detected: bool = False
        self.complete: bool = False
        self.failed: bool = False
        self._terminal = terminal
        self._changed = trio.lowlevel.ParkingLot()

    def handle_event(self, event: events.SessionEvent) -> None:
        """Handle one event of the session."""
        self._terminal.show(event)
        match event:
            case events.SpeechStarted():
                self.speech_detected, self.complete = True, False
            case events.Audio():
                self.recorder.add(event)
            case events.AudioInterrupted():
                self.recorder.truncate(event.item_id, event.content_index, event.played_ms)
            case events.AgentEnd():
                self._end_turn(event)
            case _:
                pass
        self._changed.unpark_all()

    def _end_turn(self, event: events.AgentEnd) -> None:
        if event.status == "cancelled":
            return  # another answer follows an interrupted one
        self.complete = True
        self.failed = event.status != "completed"
        if self.failed:
            details = event.message or event.reason
            print_message(f"the reply ended with status {event.status}: {details}")

    async def wait_speech_detected(self) -> None:
        """Wait until the service has detected the user's speech."""
        while not self.speech_detected:
            await self._changed.park()

    async def wait_complete(self) -> None:
        """Wait until the agent has answered all speech detected so far."""
        while not self.complete:
            await self._changed.park()

    async def wait_transcribed(self) -> None:
        """Wait until the service has transcribed all speech detected so far."""
        while self._terminal.awaits_transcript:
            await self._changed.park()
