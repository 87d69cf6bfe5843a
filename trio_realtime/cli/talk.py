"""The ``talk`` command: send the speech in a WAV file, print and record the agent's reply."""

from __future__ import annotations

from pathlib import Path

import trio

from trio_realtime import RealtimeAgent, RealtimeSession, SessionConfig, events

from .audio_io import Recorder
from .console import Terminal
from .endpoints import EndpointOptions, open_session
from .exit import FAILED, OK, UserFacingError, print_message
from .wav import check_writable, read_speech, write_pcm

#: Seconds that the service may take to detect speech after all audio was sent.
_SPEECH_DETECTION_TIMEOUT = 5.0


async def talk(
    agent: RealtimeAgent[None],
    options: EndpointOptions,
    config: SessionConfig,
    *,
    source: Path,
    target: Path,
    realtime: bool,
    timeout: float,
) -> int:
    """Send the speech, wait until the agent has answered all of it, write the reply to ``target``.

    Raises:
        UserFacingError: a file cannot be read or written, the service detected no speech, or no
            complete reply came within ``timeout`` seconds.
        RealtimeError: the session could not be opened, or it failed.
    """
    check_writable(target)
    audio = await trio.to_thread.run_sync(read_speech, source)
    async with open_session(agent, options, config) as session:
        reply = ReplyTracker(Terminal(agent.name, prompt=False))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_follow_events, session, reply)
            await session.send_file(audio, realtime=realtime)
            await _wait_reply(reply, source, timeout)
            nursery.cancel_scope.cancel(reason="the reply is complete")
    await trio.to_thread.run_sync(write_pcm, target, reply.recorder.pcm())
    return FAILED if reply.failed else OK


async def _follow_events(session: RealtimeSession[None], reply: ReplyTracker) -> None:
    async for event in session:
        reply.handle_event(event)
    raise UserFacingError("the service ended the session before the reply was complete")


async def _wait_reply(reply: ReplyTracker, source: Path, timeout: float) -> None:
    with trio.move_on_after(_SPEECH_DETECTION_TIMEOUT) as detection_scope:
        await reply.wait_speech_detected()
    if detection_scope.cancelled_caught:
        raise UserFacingError(
            f"the service detected no speech in {source}; check that the recording is loud enough"
        )
    with trio.move_on_after(timeout) as reply_scope:
        await reply.wait_complete()
    if reply_scope.cancelled_caught:
        raise UserFacingError(
            f"no complete reply came within {timeout:g} s; use --timeout to wait longer"
        )


class ReplyTracker:
    """Shows and records the agent's reply, and tracks whether it is complete.

    Attributes:
        recorder: the audio of the reply, as far as it was heard.
        speech_detected: whether the service has detected the user's speech.
        complete: whether the agent has answered all speech detected so far.
        failed: whether the last answer failed or was incomplete.
    """

    def __init__(self, terminal: Terminal) -> None:
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
