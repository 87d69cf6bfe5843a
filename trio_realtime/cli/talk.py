"""``talk``: say what is in a WAV file, and write down and record what the agent answers."""

from __future__ import annotations

from pathlib import Path

import trio

from trio_realtime import RealtimeAgent, RealtimeSession, SessionConfig, events

from .audio_io import Recorder, speak
from .console import Terminal
from .endpoints import Service, open_session
from .exit import FAILED, OK, UserFacingError, tell
from .wav import check_writable, read_pcm, write_pcm

#: More than the 500 ms after which voice activity detection ends a turn.
SILENCE_MS = 1000
#: Seconds that a service may take to notice speech after the last of it was sent.
_NOTICE_TIMEOUT = 5.0


async def talk(
    agent: RealtimeAgent[None],
    service: Service,
    config: SessionConfig,
    *,
    source: Path,
    target: Path,
    realtime: bool,
    timeout: float,
) -> int:
    """Speak, wait until the agent has answered all of it, write its speech to ``target``.

    Raises:
        MendIt: a file cannot be read or written, nobody noticed any speech, or no answer came.
        RealtimeError: no session came about, or it ended.
    """
    check_writable(target)
    pcm = await trio.to_thread.run_sync(read_pcm, source)
    async with open_session(agent, service, config) as session:
        listener = Listener(Terminal(agent.name, prompt=False))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hear, session, listener)
            await speak(session, pcm, silence_ms=SILENCE_MS, realtime=realtime)
            await _wait_answered(listener, source, timeout)
            nursery.cancel_scope.cancel(reason="everything is answered")
    await trio.to_thread.run_sync(write_pcm, target, listener.recorder.pcm())
    return FAILED if listener.failed else OK


async def _hear(session: RealtimeSession[None], listener: Listener) -> None:
    async for event in session:
        listener.take(event)
    raise UserFacingError("the service ended the session before it had answered")


async def _wait_answered(listener: Listener, source: Path, timeout: float) -> None:
    with trio.move_on_after(_NOTICE_TIMEOUT) as noticing:
        await listener.wait_noticed()
    if noticing.cancelled_caught:
        raise UserFacingError(f"no speech was noticed in {source}: is it loud enough?")
    with trio.move_on_after(timeout) as answering:
        await listener.wait_answered()
    if answering.cancelled_caught:
        raise UserFacingError(f"no complete answer came within {timeout:g} s; see --timeout")


class Listener:
    """Follows the turns: shows what is said, records it, and knows when all is answered."""

    def __init__(self, screen: Terminal) -> None:
        self.recorder: Recorder = Recorder()
        self.noticed: bool = False
        self.answered: bool = False
        self.failed: bool = False
        self._screen = screen
        self._changed = trio.lowlevel.ParkingLot()

    def take(self, event: events.SessionEvent) -> None:
        """One event of the session."""
        self._screen.show(event)
        match event:
            case events.SpeechStarted():
                self.noticed, self.answered = True, False
            case events.Audio():
                self.recorder.add(event)
            case events.AudioInterrupted():
                self.recorder.cut(event.item_id, event.content_index, event.played_ms)
            case events.AgentEnd():
                self._end_turn(event)
            case _:
                pass
        self._changed.unpark_all()

    def _end_turn(self, event: events.AgentEnd) -> None:
        """An answer that was interrupted is followed by another."""
        if event.status != "cancelled":
            self.answered = True
            self.failed = event.status != "completed"
            if self.failed:
                tell(f"the answer ended {event.status}: {event.message or event.reason}")

    async def wait_noticed(self) -> None:
        """Wait until the service noticed that somebody speaks."""
        while not self.noticed:
            await self._changed.park()

    async def wait_answered(self) -> None:
        """Wait until everything that was said so far is answered."""
        while not self.answered:
            await self._changed.park()
