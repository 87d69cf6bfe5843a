"""What consumers got, and how much of it is of which kind."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import TypeVar

import trio

from trio_realtime import EventChannel, events

EventT = TypeVar("EventT", bound=events.SessionEvent)


def taken(channel: EventChannel) -> list[events.SessionEvent]:
    """What a channel holds now."""
    found: list[events.SessionEvent] = []
    while True:
        try:
            found.append(channel.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return found


def taken_of(channel: EventChannel, kind: type[EventT]) -> list[EventT]:
    """The events of one kind of what a channel holds now; the others are taken as well."""
    return [event for event in taken(channel) if isinstance(event, kind)]


async def read_all(
    channel: AsyncIterable[events.SessionEvent], received: list[events.SessionEvent]
) -> None:
    """Note all events, to the end."""
    async for event in channel:
        received.append(event)  # noqa: PERF401 - what came before a failure counts


def texts(found: Iterable[events.SessionEvent]) -> list[str]:
    """What each text delta says."""
    return [event.delta for event in found if isinstance(event, events.TextDelta)]


def voices(found: Iterable[events.SessionEvent]) -> list[str]:
    """Response of each audio event."""
    return [event.response_id for event in found if isinstance(event, events.Audio)]
