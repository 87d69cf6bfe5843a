"""Read the events that consumers received."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import TypeVar

import trio

from trio_realtime import EventChannel, events

EventT = TypeVar("EventT", bound=events.SessionEvent)


def taken(channel: EventChannel) -> list[events.SessionEvent]:
    """Return all events that a channel has buffered."""
    found: list[events.SessionEvent] = []
    while True:
        try:
            found.append(channel.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return found


def taken_of(channel: EventChannel, kind: type[EventT]) -> list[EventT]:
    """Return the buffered events of one class, and discard the others."""
    return [event for event in taken(channel) if isinstance(event, kind)]


async def read_all(
    channel: AsyncIterable[events.SessionEvent], received: list[events.SessionEvent]
) -> None:
    """Append all events to ``received`` until the channel ends."""
    async for event in channel:
        received.append(event)  # noqa: PERF401 - keeps the events before a failure


def texts(found: Iterable[events.SessionEvent]) -> list[str]:
    """Return the deltas of all text events."""
    return [event.delta for event in found if isinstance(event, events.TextDelta)]


def voices(found: Iterable[events.SessionEvent]) -> list[str]:
    """Return the response id of each audio event."""
    return [event.response_id for event in found if isinstance(event, events.Audio)]
