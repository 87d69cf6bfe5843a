"""Where session events go: one buffer for each consumer, so that none takes from another.

The reader puts events in without waiting; a consumer takes them out at its own pace. A buffer is
bounded in events and in bytes of audio. A consumer that exceeds it loses its own channel, loudly,
and nobody else notices.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, get_args

import attrs
import trio

from trio_realtime.config import OverflowPolicy
from trio_realtime.errors import ConsumerTooSlow, RealtimeError, UsageError
from trio_realtime.events import Audio, AudioInterrupted, RawModelEvent, SessionEvent


@attrs.frozen(kw_only=True)
class BufferLimits:
    """What a consumer may leave unread, and what happens beyond."""

    max_events: int
    max_audio: int
    overflow: OverflowPolicy


@attrs.frozen(kw_only=True)
class ChannelStatistics:
    """How full a consumer's buffer is.

    Attributes:
        buffered_events: events unread.
        buffered_audio: bytes of audio unread.
        dropped_events: events forgotten under ``overflow="drop_oldest"``, or that came after the
            channel failed.
        tasks_waiting_receive: tasks that wait for the next event.
    """

    buffered_events: int
    buffered_audio: int
    dropped_events: int
    tasks_waiting_receive: int


class EventChannel(trio.abc.ReceiveChannel[SessionEvent]):
    """One consumer's events, in order. Made by the session; iterate it or call :meth:`receive`."""

    def __init__(
        self,
        limits: BufferLimits,
        types: tuple[type[SessionEvent], ...],
        on_close: Callable[[EventChannel], None],
    ) -> None:
        self._limits = limits
        self._types = types
        self._on_close = on_close
        self._events: deque[SessionEvent] = deque()
        self._audio = 0
        self._dropped = 0
        self._end: Exception | None = None
        self._readers = trio.lowlevel.ParkingLot()

    def statistics(self) -> ChannelStatistics:
        """How full the buffer is now."""
        return ChannelStatistics(
            buffered_events=len(self._events),
            buffered_audio=self._audio,
            dropped_events=self._dropped,
            tasks_waiting_receive=len(self._readers),
        )

    # --- the consumer's side

    async def receive(self) -> SessionEvent:
        """The next event.

        If it is cancelled, no event is lost. Several tasks may receive from one channel: each event
        goes to one of them.

        Raises:
            trio.EndOfChannel: the session is over, and all events were received.
            trio.ClosedResourceError: this channel was closed.
            ConsumerTooSlow: more was left unread than may be; what had fitted was received before.
            RealtimeError: what ended the session, after all events that came before it.
        """
        await trio.lowlevel.checkpoint()
        while not self._events:
            if self._end is not None:
                raise again(self._end)
            await self._readers.park()
        return self._take()

    def receive_nowait(self) -> SessionEvent:
        """The next event if there is one.

        Raises:
            trio.WouldBlock: there is none now. Otherwise as :meth:`receive`.
        """
        if self._events:
            return self._take()
        if self._end is not None:
            raise again(self._end)
        raise trio.WouldBlock

    def _take(self) -> SessionEvent:
        event = self._events.popleft()
        if type(event) is Audio:
            self._audio -= len(event.data)
        return event

    async def aclose(self) -> None:
        """Stop consuming; buffered events are dropped."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """The same without a checkpoint."""
        self._events.clear()
        self._audio = 0
        self._end = trio.ClosedResourceError("this channel was closed")
        self._readers.unpark_all()
        self._on_close(self)

    # --- the session's side

    def takes(self, kind: type[SessionEvent]) -> bool:
        """Whether this consumer asked for events of this type; for raw ones one has to by name."""
        return kind in self._types if self._types else kind is not RawModelEvent

    def put(self, event: SessionEvent) -> None:
        """Add an event of a type that this consumer takes, if there is room."""
        if self._end is not None:
            self._dropped += 1
            return
        self._events.append(event)
        if type(event) is Audio:
            self._audio += len(event.data)
        if self._is_over():
            self._overflow()
        if self._readers:
            self._readers.unpark()

    def _is_over(self) -> bool:
        return len(self._events) > self._limits.max_events or self._audio > self._limits.max_audio

    def _overflow(self) -> None:
        if self._limits.overflow == "drop_oldest":
            while self._is_over():
                self._take()
                self._dropped += 1
            return
        newest = self._events.pop()
        if type(newest) is Audio:
            self._audio -= len(newest.data)
        self._dropped += 1
        statistics = attrs.asdict(self.statistics())
        self.finish(
            ConsumerTooSlow(
                f"a consumer left {len(self._events)} events ({self._audio} bytes of audio) unread,"
                f" which is all it may: read faster, subscribe to fewer types, raise"
                f" max_buffered_events or max_buffered_audio, or set overflow='drop_oldest'",
                statistics=statistics,
            )
        )

    def silence(self, response_id: str) -> None:
        """Forget the audio of an interrupted response that was not yet received."""
        kept = deque(
            event
            for event in self._events
            if not (type(event) is Audio and event.response_id == response_id)
        )
        self._audio = sum(len(event.data) for event in kept if type(event) is Audio)
        self._events = kept

    def finish(self, error: Exception | None) -> None:
        """No more events: the buffer empties, then ``error`` or the end comes. The first counts."""
        if self._end is None:
            self._end = error if error is not None else trio.EndOfChannel()
            self._readers.unpark_all()


def _check_types(types: tuple[Any, ...]) -> None:
    for kind in types:
        if not (isinstance(kind, type) and issubclass(kind, SessionEvent)) or "type" not in vars(
            kind
        ):
            raise UsageError(f"subscribe to event classes such as events.Audio, not to {kind!r}")


def again(end: Exception) -> Exception:
    """The same end as an exception of its own; see ``RealtimeError.again``."""
    return end.again() if isinstance(end, RealtimeError) else type(end)(*end.args)


_UNBOUNDED = BufferLimits(max_events=sys.maxsize, max_audio=sys.maxsize, overflow="fail")


class _InternalChannel(EventChannel):
    """A channel of the session itself: it gets what still happens at the end, and no error.

    The error is for somebody else to be told.
    """

    def finish(self, error: Exception | None) -> None:
        pass

    def finish_own(self) -> None:
        """Nothing more will happen."""
        super().finish(None)


def _check_overflow(overflow: str) -> None:
    if overflow not in get_args(OverflowPolicy):
        raise UsageError(
            f"overflow is one of {', '.join(get_args(OverflowPolicy))}, not {overflow!r}"
        )


class EventBus:
    """Hands each event to every consumer that asked for its type."""

    def __init__(self, limits: BufferLimits) -> None:
        self._limits = limits
        self._channels: list[EventChannel] = []
        self._routes: dict[type[SessionEvent], tuple[EventChannel, ...]] = {}
        self._own: list[_InternalChannel] = []
        self._end: tuple[Exception | None] | None = None
        self.wants_raw: bool = False

    def open_channel(
        self, types: Iterable[type[SessionEvent]] = (), *, overflow: OverflowPolicy | None = None
    ) -> EventChannel:
        """A channel of these types; of all but the raw ones if none are named."""
        types = tuple(types)
        _check_types(types)
        limits = self._limits
        if overflow is not None:
            _check_overflow(overflow)
            limits = attrs.evolve(limits, overflow=overflow)
        channel = EventChannel(limits, types, self._remove)
        self._channels.append(channel)
        self._find_ways()
        if self._end is not None:
            channel.finish(self._end[0])
        return channel

    def open_own_channel(self, types: Iterable[type[SessionEvent]]) -> EventChannel:
        """A channel for a task of the session itself, which always reads: nothing else bounds it.

        It ends plainly, whatever ends the session, with :meth:`finish_own`.
        """
        channel = _InternalChannel(_UNBOUNDED, tuple(types), self._remove)
        self._own.append(channel)
        self._channels.append(channel)
        self._find_ways()
        return channel

    def _remove(self, channel: EventChannel) -> None:
        if channel in self._channels:
            self._channels.remove(channel)
        self._find_ways()

    def _find_ways(self) -> None:
        """Consumers have come or gone: find anew who takes what, type by type as it comes."""
        self._routes.clear()
        self.wants_raw = any(channel.takes(RawModelEvent) for channel in self._channels)

    def emit(self, event: SessionEvent) -> None:
        """Hand an event out. An interruption takes the undelivered audio of its response along."""
        if type(event) is AudioInterrupted:
            for channel in self._channels:
                channel.silence(event.response_id)
        for channel in self._route(type(event)):
            channel.put(event)

    def _route(self, kind: type[SessionEvent]) -> tuple[EventChannel, ...]:
        found = self._routes.get(kind)
        if found is None:
            found = tuple(channel for channel in self._channels if channel.takes(kind))
            self._routes[kind] = found
        return found

    def finish_own(self) -> None:
        """The last call has ended: nothing more will happen in the session."""
        for channel in self._own:
            channel.finish_own()

    def finish(self, error: Exception | None) -> None:
        """The session is over, for all consumers there are and will be."""
        if self._end is None:
            self._end = (error,)
        for channel in self._channels:
            channel.finish(error)
