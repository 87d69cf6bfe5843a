"""What one session does with its audio, on trio and on asyncio alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs

from benchmarks.conversation import Conversation, NextAudio, SendAudio
from benchmarks.duplex.load import WARM_UP, DuplexLoad, DuplexMeter


class Event(Protocol):
    """An event of either library."""

    def set(self) -> None:
        """Let all that wait go on."""
        ...

    def wait(self) -> Awaitable[Any]:
        """Wait until the event is set."""
        ...


@attrs.frozen
class Exchange(ABC):
    """Exchanges the audio of one session.

    Attributes:
        load: what each session does.
        meter: measures.
        start: set when all sessions are warm.
        end: set when all are done, so that none closes while the clock runs.
        is_warm: called when this one is.
        delay: seconds before the first frame of the microphone in ``paced`` mode.
    """

    load: DuplexLoad
    meter: DuplexMeter
    start: Event
    end: Event
    is_warm: Callable[[], object]
    delay: float

    async def begin(self, conversation: Conversation) -> None:
        """Request a response, and exchange the audio of the load."""
        await conversation.send_message("Go on.")
        await self.run(conversation.next_audio, conversation.send_audio)

    async def run(self, next_audio: NextAudio, send: SendAudio) -> None:
        """Exchange the audio of the load."""
        if self.load.mode == "lock":
            await self._lock(next_audio, send)
        else:
            self.is_warm()
            await self.start.wait()
            await self.pace(next_audio, send)
        if self.meter.end_session():
            self.end.set()
        await self.end.wait()

    async def _lock(self, next_audio: NextAudio, send: SendAudio) -> None:
        microphone = self.load.microphone
        for _ in range(WARM_UP):
            await next_audio()
            await send(microphone)
        await next_audio()
        self.is_warm()
        await self.start.wait()
        for _ in range(self.load.frames):
            await send(microphone)
            self.meter.receive(await next_audio())

    @abstractmethod
    async def pace(self, next_audio: NextAudio, send: SendAudio) -> None:
        """Receive all deltas, and send the microphone's frames by deadlines meanwhile."""

    async def listen(self, next_audio: NextAudio) -> None:
        """Receive all deltas."""
        for _ in range(self.load.frames):
            self.meter.receive(await next_audio())
