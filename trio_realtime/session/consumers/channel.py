"""One consumer's events.

The reader puts events in without waiting; the consumer takes them out at its own pace. The buffer is
bounded in events, in bytes of audio, and in bytes of all events. If a consumer exceeds a bound, its own
channel fails with ``ConsumerTooSlow`` and other consumers are not affected; with
``overflow="drop_oldest_audio"`` its oldest audio is dropped instead. An interruption removes audio from the middle, which is why this
is not a memory channel; see :mod:`trio_realtime.session.change_signal`.

A consumer that only reads is never too slow: while a channel is more than half full, the reader lets
its consumer run before it handles the next frame. It waits only for tasks that are about to take an
event, or have just taken one, so it does not wait for a consumer that does something else.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic

import attrs
import trio
from typing_extensions import TypeVar

from trio_realtime.config import OverflowPolicy
from trio_realtime.errors import ConsumerTooSlow
from trio_realtime.events import AnyEvent, Audio, SessionEvent
from trio_realtime.session.change_signal import ChangeSignal
from trio_realtime.session.ending import EndState, copy_exception

from .event_size import size_of

EventT_co = TypeVar("EventT_co", bound=SessionEvent, covariant=True, default=AnyEvent)


@attrs.frozen(kw_only=True)
class BufferLimits:
    """How much a consumer may leave unread, and what happens above that.

    Attributes:
        max_events: number of events.
        max_audio: bytes of audio.
        max_bytes: bytes of all events, audio included.
        overflow: what happens above a limit.
    """

    max_events: int
    max_audio: int
    max_bytes: int
    overflow: OverflowPolicy


_PATIENCE: Final = 4
"""Steps of the reader after which a task that has taken an event, and has not come back for the next
one, is considered busy. Trio runs every task that can run at least once in two of these steps."""

_EVENTS_PER_CHECKPOINT: Final = 64
"""The number of buffered events after which a consumer lets other tasks run."""

UNBOUNDED: Final = BufferLimits(
    max_events=sys.maxsize, max_audio=sys.maxsize, max_bytes=sys.maxsize, overflow="fail"
)


@attrs.frozen(kw_only=True)
class ChannelStatistics:
    """How full a consumer's buffer is.

    Attributes:
        buffered_events: unread events.
        buffered_audio: bytes of unread audio.
        buffered_bytes: bytes of all unread events, audio included: an estimate, which counts their texts
            and bytes.
        dropped_events: events that were dropped under ``overflow="drop_oldest_audio"`` or that arrived
            after the channel had failed.
        tasks_waiting_receive: tasks that wait for the next event.
    """

    buffered_events: int
    buffered_audio: int
    buffered_bytes: int
    dropped_events: int
    tasks_waiting_receive: int


class EventChannel(trio.abc.ReceiveChannel[EventT_co], Generic[EventT_co]):
    """One consumer's events, in order. The session makes it; iterate it or call :meth:`receive`.

    Attributes:
        types: the event classes that it carries; every event except the raw ones if empty.
    """

    def __init__(
        self,
        limits: BufferLimits,
        types: tuple[type[SessionEvent], ...],
        on_close: Callable[[EventChannel[SessionEvent]], None],
        end: EndState,
        check_run: Callable[[], None],
        crowded: set[EventChannel[Any]] | None = None,
    ) -> None:
        self._limits = limits
        self._half = limits.max_events // 2, limits.max_audio // 2, limits.max_bytes // 2
        # The channels that are more than half full, of all consumers.
        self._crowded: set[EventChannel[Any]] = set() if crowded is None else crowded
        self._receiving = 0
        self._patience = 0
        self._steps = 0
        self.types = types
        self._on_close = on_close
        self._session_end = end
        self._check_run = check_run
        self._events: deque[tuple[SessionEvent, int]] = deque()  # with their sizes
        self._audio = 0
        self._bytes = 0
        self._dropped = 0
        self._failure: Exception | None = None
        self._changed = ChangeSignal()

    def statistics(self) -> ChannelStatistics:
        """Return how full the buffer is now."""
        return ChannelStatistics(
            buffered_events=len(self._events),
            buffered_audio=self._audio,
            buffered_bytes=self._bytes,
            dropped_events=self._dropped,
            tasks_waiting_receive=len(self._changed),
        )

    # --- the consumer's side

    async def receive(self) -> EventT_co:
        """Return the next event.

        Cancelling the wait loses no event. Several tasks may receive from one channel; each event goes
        to one of them.

        A channel without events waits. While events are buffered, this can be cancelled, but it lets other
        tasks run only at each 64th event. The session adds no event in between, so no task waits for
        longer than it takes to handle what is buffered, at most 64 events.

        Raises:
            trio.EndOfChannel: the session is over and all events were received.
            trio.ClosedResourceError: this channel was closed.
            ConsumerTooSlow: too much was left unread. The buffered events were received before.
            RealtimeError: what ended the session, after all events that came before it.
            UsageError: the caller runs in another trio run than the session.
        """
        self._check_run()
        self._steps += 1
        if self._events and self._steps % _EVENTS_PER_CHECKPOINT:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._patience = _PATIENCE
            return self._take()  # type: ignore[return-value]  # the bus puts only events of these types
        self._receiving += 1
        try:
            if self._events or self._is_ended:
                await trio.lowlevel.checkpoint()
            while not self._events:
                if self._is_ended:
                    raise self._end()
                await self._changed.wait()
        finally:
            self._receiving -= 1
            self._patience = _PATIENCE
        return self._take()  # type: ignore[return-value]  # the bus puts only events of these types

    @property
    def _is_ended(self) -> bool:
        return self._failure is not None or self._session_end.is_set

    def receive_nowait(self) -> EventT_co:
        """Return the next event if there is one.

        Raises:
            trio.WouldBlock: there is no event now. Otherwise like :meth:`receive`.
        """
        if not self._events:
            if self._is_ended:
                raise self._end()
            raise trio.WouldBlock
        self._patience = _PATIENCE
        return self._take()  # type: ignore[return-value]  # the bus puts only events of these types

    def _take(self) -> SessionEvent:
        event, size = self._events.popleft()
        self._bytes -= size
        if type(event) is Audio:
            self._audio -= len(event.data)
        return event

    def _end(self) -> Exception:
        """Return what ended this channel: its own failure, or the end of the session."""
        if self._failure is not None:
            return copy_exception(self._failure)
        return self._session_end.consumer_exception()

    async def aclose(self) -> None:
        """Stop consuming; unread events are dropped."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Stop consuming, without a checkpoint."""
        self._events.clear()
        self._audio = self._bytes = 0
        self._failure = trio.ClosedResourceError("this channel was closed")
        self._changed.notify_all()
        self._on_close(self)

    # --- the session's side

    def put(self, event: SessionEvent) -> None:
        """Add an event of an accepted type, if the buffer has space for it."""
        if self._failure is not None:
            self._dropped += 1
            return
        size = size_of(event)
        self._events.append((event, size))
        self._bytes += size
        if type(event) is Audio:
            self._audio += len(event.data)
        if self._is_crowded():
            if self._receiving or self._patience > 0:
                self._crowded.add(self)
            # A task that is about to take an event is not too slow: the reader waits for it before it
            # handles the next frame.
            if not self._receiving and self._is_over():
                self._overflow()
        self._changed.notify()

    def put_last(self, event: SessionEvent) -> None:
        """Add the last event of the session, which no limit drops."""
        if self._failure is None:
            self._events.append((event, 0))

    def is_being_read(self) -> bool:
        """Return whether the reader should let the consumer run. Each call counts as a step."""
        if self._failure is not None or not self._is_crowded():
            self._crowded.discard(self)
            return False
        if self._receiving:
            return True
        self._patience -= 1
        if self._patience < 0:
            # Its consumer does something else. The reader need not ask before it takes another event.
            self._crowded.discard(self)
        return self._patience >= 0

    def _is_crowded(self) -> bool:
        max_events, max_audio, max_bytes = self._half
        return self._bytes > max_bytes or self._audio > max_audio or len(self._events) > max_events

    def _is_over(self, others: int = 0) -> bool:
        """Return whether the buffer, with this many other events, exceeds a limit.

        A single event does not, however large it is.
        """
        limits = self._limits
        count = len(self._events) + others
        return count > 1 and (
            count > limits.max_events
            or self._audio > limits.max_audio
            or self._bytes > limits.max_bytes
        )

    def _overflow(self) -> None:
        if self._limits.overflow != "fail":
            self._drop_oldest_audio()
            if not self._is_over():
                return
        newest, size = self._events.pop()
        self._bytes -= size
        if type(newest) is Audio:
            self._audio -= len(newest.data)
        self._dropped += 1
        advice = (
            "set overflow='drop_oldest_audio' to lose audio instead"
            if self._limits.overflow == "fail"
            else "too many of them carry no audio, and only audio is dropped"
        )
        self._fail(
            ConsumerTooSlow(
                f"a consumer left {len(self._events)} events ({self._bytes} bytes, of which "
                f"{self._audio} are audio) unread, which is the limit: read faster, subscribe to fewer "
                f"types, or raise max_buffered_events, max_buffered_audio or max_buffered_bytes; "
                f"{advice}",
                statistics=attrs.asdict(self.statistics()),
            )
        )

    def _drop_oldest_audio(self) -> None:
        """Drop audio, oldest first, until the buffer is within its limits. No other event is dropped."""
        others: list[tuple[SessionEvent, int]] = []
        while self._events and self._is_over(len(others)):
            event, size = self._events.popleft()
            if type(event) is Audio:
                self._audio -= len(event.data)
                self._bytes -= size
                self._dropped += 1
            else:
                others.append((event, size))
        self._events.extendleft(reversed(others))

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        self._changed.notify_all()

    def discard_audio(self, response_id: str) -> None:
        """Drop the unread audio of an interrupted response."""
        rest: deque[tuple[SessionEvent, int]] = deque()
        for event, size in self._events:
            if type(event) is Audio and event.response_id == response_id:
                self._audio -= len(event.data)
                self._bytes -= size
            else:
                rest.append((event, size))
        self._events = rest

    def finish(self) -> None:
        """End the channel of an internal task: it raises ``EndOfChannel`` after its last event."""
        self._fail(trio.EndOfChannel())

    def wake(self) -> None:
        """Wake the tasks that wait for an event: the session has ended."""
        self._changed.notify_all()
