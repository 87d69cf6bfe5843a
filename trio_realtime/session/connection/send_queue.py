"""What waits to be sent. One writer empties it, so that no frame is ever cut by a cancellation.

Whoever sends only puts whole frames here, which never waits; audio is what there can be much of, so
those who send audio first wait for room.
"""

from __future__ import annotations

from collections import deque

import trio

from trio_realtime.errors import RealtimeError
from trio_realtime.wire import ClientEvent, InputAudioBufferAppend, encode

from .errors import told


class SendQueue:
    """See the module."""

    def __init__(self, max_audio: int) -> None:
        self._frames: deque[tuple[str, int]] = deque()
        self._max_audio = max_audio
        self._audio = 0
        self._refusal: RealtimeError | None = None
        self._sent = 0
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def waiting(self) -> int:
        """Frames that wait, the one being written included."""
        return len(self._frames)

    @property
    def sent(self) -> int:
        """Frames that were written."""
        return self._sent

    def put(self, event: ClientEvent) -> None:
        """Queue an event. After :meth:`refuse`, it is dropped."""
        if self._refusal is not None:
            return
        size = len(event.audio) if type(event) is InputAudioBufferAppend else 0
        self._frames.append((encode(event), size))
        self._audio += size
        self._changed.unpark_all()

    def check(self) -> None:
        """Find out whether anything can still be sent.

        Raises:
        RealtimeError: nothing can be sent any more; it says why.
        """
        if self._refusal is not None:
            raise told(self._refusal)

    async def wait_room(self) -> None:
        """Wait until audio may be put. A checkpoint in any case.

        Raises:
            RealtimeError: as :meth:`check`.
        """
        await trio.lowlevel.checkpoint()
        self.check()
        while self._audio >= self._max_audio:
            await self._changed.park()
            self.check()

    async def wait_empty(self) -> None:
        """Wait until everything was written, or can no longer be."""
        while self._frames:
            await self._changed.park()

    async def wait_frame(self) -> str:
        """For the writer: the next frame. It counts as waiting until :meth:`written`."""
        while not self._frames:
            await self._changed.park()
        return self._frames[0][0]

    def written(self) -> None:
        """For the writer: the frame of :meth:`wait_frame` is on the wire."""
        self._sent += 1
        if self._frames:  # else it was cleared while the frame was on its way
            _frame, size = self._frames.popleft()
            self._audio -= size
        self._changed.unpark_all()

    def refuse(self, error: RealtimeError) -> None:
        """From now on nothing is taken, and ``error`` is what senders get. The first counts.

        What is in line is still written, as long as there is a connection.
        """
        if self._refusal is None:
            self._refusal = error
            self._changed.unpark_all()

    def clear(self) -> None:
        """The connection is gone: what is in line will never be written."""
        self._frames.clear()
        self._audio = 0
        self._changed.unpark_all()
