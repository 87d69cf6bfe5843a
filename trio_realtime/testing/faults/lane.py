"""One direction of a connection: the frames under way, and when they arrive."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, TypeAlias, final

import attrs
import trio

from trio_realtime.transports import TransportClosed

from .plan import Direction

__all__ = ["FrameQueue", "FrameUnderWay", "Lane", "LaneSettings", "Message", "Ping"]

Message: TypeAlias = str | bytes


@final
@attrs.frozen(eq=False)
class Ping:
    """A ping on its way to the peer, or the answer on its way back.

    Attributes:
        written: Set when the ping has arrived at the peer, or was lost.
        answered: Set when the answer has arrived.
    """

    written: trio.Event = attrs.field(factory=trio.Event)
    answered: trio.Event = attrs.field(factory=trio.Event)


@final
@attrs.frozen(eq=False)
class FrameUnderWay:
    """A frame, or the end of the connection, between its two ends.

    Attributes:
        content: The message or ping; the close frame, or the end without one, is a
            :class:`TransportClosed`.
        sent_at: When it was sent.
        is_injected: Whether a test sent it, and not an end of the connection.
    """

    content: Message | TransportClosed | Ping
    sent_at: float
    is_injected: bool = False

    @property
    def size(self) -> int:
        """The length of the frame."""
        return len(self.content) if isinstance(self.content, Message) else 0


@final
class FrameQueue:
    """A queue that is bounded by the length of its frames, because one may have megabytes.

    Args:
        limit: The length of all frames beyond which :meth:`wait_space` waits.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._frames: deque[FrameUnderWay] = deque()
        self._size = 0
        self._is_closed = False
        self._changed = trio.lowlevel.ParkingLot()

    def append(self, frame: FrameUnderWay) -> None:
        """Add a frame at once. A closed queue discards it."""
        if not self._is_closed:
            self._frames.append(frame)
            self._size += frame.size
            self._changed.unpark_all()

    @property
    def is_full(self) -> bool:
        """Whether the frames exceed the limit. A closed queue is never full."""
        return self._size > self._limit and not self._is_closed

    async def wait_space(self) -> None:
        """Wait until the queue is not full."""
        while self.is_full:
            await self._changed.park()

    async def wait_first(self) -> FrameUnderWay | None:
        """Remove and return the next frame; ``None`` if the queue is closed and empty.

        The frame counts until :meth:`release`. Cancellation loses no frame.
        """
        while not self._frames:
            if self._is_closed:
                return None
            await self._changed.park()
        return self._frames.popleft()

    def release(self, frame: FrameUnderWay) -> None:
        """Stop counting a frame that :meth:`wait_first` has returned."""
        self._size -= frame.size
        self._changed.unpark_all()

    def set_limit(self, limit: float) -> None:
        """Change the limit."""
        self._limit = limit
        self._changed.unpark_all()

    def clear(self) -> list[FrameUnderWay]:
        """Remove and return all frames."""
        removed = list(self._frames)
        self._frames.clear()
        self._size -= sum(frame.size for frame in removed)
        self._changed.unpark_all()
        return removed

    def close(self) -> None:
        """Accept no more frames. Those in the queue can still be read."""
        self._is_closed = True
        self._changed.unpark_all()


@final
@attrs.frozen
class LaneSettings:
    """What disturbs a lane; by default, nothing.

    Attributes:
        is_frozen: No frame arrives. Frames wait.
        loses_frames: Frames are lost when they would arrive.
        loses_pings: So are pings and their answers.
        delay: Seconds that each frame takes.
        bandwidth: Characters that are transmitted per second.
    """

    is_frozen: bool = False
    loses_frames: bool = False
    loses_pings: bool = False
    delay: float = 0.0
    bandwidth: float = math.inf


@final
class Lane:
    """One direction: a buffer, and settings that may change at any time.

    Args:
        direction: Which direction.
        buffer: The length of the frames that may be under way before sending blocks.

    Attributes:
        queue: The frames under way.
        settings: What disturbs the lane. Use :meth:`change` to change them.
    """

    def __init__(self, direction: Direction, buffer: int) -> None:
        self.direction: Direction = direction
        self.queue: FrameQueue = FrameQueue(buffer)
        self.settings: LaneSettings = LaneSettings()
        self._buffer = buffer
        # When the previous frame was completely transmitted, without its delay.
        self._idle_since = -math.inf
        self._changed = trio.lowlevel.ParkingLot()

    def change(self, **settings: Any) -> None:
        """Change settings, also for the frames under way.

        Args:
            **settings: Fields of :class:`LaneSettings`.
        """
        self.settings = attrs.evolve(self.settings, **settings)
        self._changed.unpark_all()

    def reset(self) -> None:
        """Let nothing disturb the lane."""
        self.settings = LaneSettings()
        self.queue.set_limit(self._buffer)
        self._changed.unpark_all()

    async def wait_arrival(self, frame: FrameUnderWay, fraction: float = 1.0) -> None:
        """Wait until this part of the frame has arrived. Frames are passed one after the other."""
        while trio.current_time() < (arrival := self._arrival(frame, fraction)):
            with trio.move_on_at(arrival):
                await self._changed.park()

    def passed(self, frame: FrameUnderWay) -> None:
        """Begin to transmit the next frame, because this one has arrived or was lost."""
        # A lane that was frozen did not transmit in the meantime.
        earliest = trio.current_time() - self.settings.delay
        self._idle_since = max(self._transmitted(frame, 1.0), earliest)
        self.queue.release(frame)

    async def wait_end(self, end: FrameUnderWay) -> None:
        """Wait until the end of the connection is seen, which a lane that loses frames hides."""
        await self.wait_arrival(end)
        while self.settings.loses_frames:
            await self._changed.park()
            await self.wait_arrival(end)

    def _arrival(self, frame: FrameUnderWay, fraction: float) -> float:
        if self.settings.is_frozen:
            return math.inf
        return self._transmitted(frame, fraction) + self.settings.delay

    def _transmitted(self, frame: FrameUnderWay, fraction: float) -> float:
        begun = max(self._idle_since, frame.sent_at)
        return begun + fraction * frame.size / self.settings.bandwidth
