"""Hand every session event to the channels of the consumers that asked for its type."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
import trio

from trio_realtime.config import OverflowPolicy, check_overflow
from trio_realtime.errors import UsageError
from trio_realtime.events import (
    AudioInterrupted,
    RawModelEvent,
    SessionEnded,
    SessionEvent,
)
from trio_realtime.session.ending import EndState

from .channel import UNBOUNDED, BufferLimits, EventChannel


def _accept_any_run() -> None:
    """Check nothing."""


class EventBus:
    """The channels of all consumers.

    Args:
        limits: the limits of a consumer's buffer.
        end: the end of the session, which ends every consumer's channel.
        new_check: returns a check for each channel, which raises if a caller belongs to another trio run.

    Attributes:
        wants_raw: whether any consumer asked for raw events.
        crowded: the channels that are more than half full.
    """

    def __init__(
        self,
        limits: BufferLimits,
        end: EndState,
        new_check: Callable[[], Callable[[], None]] = lambda: _accept_any_run,
    ) -> None:
        self.wants_raw: bool = False
        self.crowded: set[EventChannel[Any]] = set()
        self._limits = limits
        self._end = end
        self._new_check = new_check
        self._channels: list[EventChannel[Any]] = []
        self._internal: list[EventChannel[Any]] = []
        self._routes: dict[type[SessionEvent], tuple[EventChannel[Any], ...]] = {}

    def open_channel(
        self, types: Iterable[type[SessionEvent]] = (), *, overflow: OverflowPolicy | None = None
    ) -> EventChannel[Any]:
        """Open a consumer's channel.

        Args:
            types: the events that it carries; every event except the raw ones if none are named.
            overflow: what happens above a limit; the session's policy by default.

        Raises:
            UsageError: a type is not an event class, or the policy is unknown.
        """
        types = tuple(types)
        _check_types(types)
        limits = self._limits
        if overflow is not None:
            check_overflow(overflow)
            limits = attrs.evolve(limits, overflow=overflow)
        channel = EventChannel(
            limits, types, self._remove, self._end, self._new_check(), self.crowded
        )
        if not self._end.is_set:  # otherwise it has only the end to report
            self._channels.append(channel)
            self._forget_routes()
        return channel

    def open_internal_channel(self, types: Iterable[type[SessionEvent]]) -> EventChannel[Any]:
        """Open a channel for a task of the session that always reads.

        The channel has no limit and outlives the end of the session. Its owner ends it with
        :meth:`.EventChannel.finish`.
        """
        channel: EventChannel[Any] = EventChannel(
            UNBOUNDED, tuple(types), self._remove, EndState(), self._new_check()
        )
        self._internal.append(channel)
        self._forget_routes()
        return channel

    def change_types(self, channel: EventChannel[Any], types: Iterable[type[SessionEvent]]) -> None:
        """Change which events a channel carries."""
        channel.types = tuple(types)
        self._forget_routes()

    def _remove(self, channel: EventChannel[Any]) -> None:
        for channels in (self._channels, self._internal):
            if channel in channels:
                channels.remove(channel)
        self.crowded.discard(channel)
        self._forget_routes()

    def _forget_routes(self) -> None:
        """Forget the channels of each event type. Raw events must be named."""
        self._routes.clear()
        self.wants_raw = bool(self._route(RawModelEvent))

    def _route(self, kind: type[SessionEvent]) -> tuple[EventChannel[Any], ...]:
        route = self._routes[kind] = tuple(
            channel
            for channel in (*self._channels, *self._internal)
            if (kind in channel.types if channel.types else kind is not RawModelEvent)
        )
        return route

    def emit(self, event: SessionEvent) -> None:
        """Deliver an event. ``AudioInterrupted`` removes the unread audio of its response first."""
        kind = type(event)
        if kind is AudioInterrupted:
            for channel in self._channels:
                channel.discard_audio(event.response_id)  # type: ignore[attr-defined]
        route = self._routes.get(kind)
        for channel in self._route(kind) if route is None else route:
            channel.put(event)

    async def let_consumers_read(self) -> None:
        """Let the consumers of channels that are more than half full take events, if they are reading.

        Returns after at least one checkpoint, once each of these channels is half empty, or its
        consumer is busy with something else.
        """
        await trio.lowlevel.checkpoint()
        # Each channel is asked, because each call counts as a step.
        while sum(channel.is_being_read() for channel in [*self.crowded]):
            await trio.lowlevel.checkpoint()

    def end_channels(self, event: SessionEnded) -> None:
        """Deliver the last event and wake every consumer. They get nothing more.

        Internal channels go on: hooks are still called for tools that end with the session.
        """
        for channel in self._route(SessionEnded):
            channel.put_last(event)
        for channel in self._channels:
            channel.wake()
        self._channels.clear()
        self._forget_routes()


def _check_types(types: tuple[Any, ...]) -> None:
    for kind in types:
        if not (isinstance(kind, type) and issubclass(kind, SessionEvent)) or "type" not in vars(
            kind
        ):
            raise UsageError(f"expected event classes such as events.Audio, got {kind!r}")
