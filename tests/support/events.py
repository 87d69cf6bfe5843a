"""Read the events that consumers received."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any, TypeVar

import trio

from trio_realtime import EventChannel, RealtimeSession, events
from trio_realtime.errors import ClosedByService

EventT = TypeVar("EventT", bound=events.SessionEvent)


def drain_channel(channel: EventChannel[Any]) -> list[events.SessionEvent]:
    """Return all events that a channel has buffered."""
    found: list[events.SessionEvent] = []
    while True:
        try:
            found.append(channel.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return found


def drain_events(channel: EventChannel, kind: type[EventT]) -> list[EventT]:
    """Return the buffered events of one class, and discard the others."""
    return [event for event in drain_channel(channel) if isinstance(event, kind)]


async def collect_events(
    channel: AsyncIterable[events.SessionEvent], received: list[events.SessionEvent]
) -> None:
    """Append all events to ``received`` until the channel ends."""
    async for event in channel:
        received.append(event)  # noqa: PERF401 - keeps the events before a failure


async def collect_until_closed(
    channel: AsyncIterable[events.SessionEvent],
) -> list[events.SessionEvent]:
    """Return all events until the service closes the session, without the last one.

    Raises:
        ConnectionLost: the connection ended in another way.
    """
    received: list[events.SessionEvent] = []
    try:
        await collect_events(channel, received)
    except ClosedByService:
        return [event for event in received if not isinstance(event, events.SessionEnded)]
    raise AssertionError("the session ended plainly")


def text_deltas(found: Iterable[events.SessionEvent]) -> list[str]:
    """Return the deltas of all text events."""
    return [event.delta for event in found if isinstance(event, events.TextDelta)]


def audio_response_ids(found: Iterable[events.SessionEvent]) -> list[str]:
    """Return the response id of each audio event."""
    return [event.response_id for event in found if isinstance(event, events.Audio)]


async def next_approval_request(session: RealtimeSession[None]) -> events.ToolApprovalRequired:
    """Wait for the next request for approval, and discard all events before it."""
    async for event in session:
        if isinstance(event, events.ToolApprovalRequired):
            return event
    raise AssertionError("the session ended before an approval was requested")


CONTENT_TYPES = ("text_delta", "history_added", "history_updated", "tool_start", "error")


async def collect_types(channel: EventChannel) -> list[str]:
    """Return the types of all events in :data:`CONTENT_TYPES` until the service closes the session.

    The first event of a session, which has the initial history, is left out.
    """
    return [
        event.type
        for event in await collect_until_closed(channel)
        if event.type in CONTENT_TYPES and not is_initial_history(event)
    ]


def is_initial_history(event: events.SessionEvent) -> bool:
    """Return whether this is the first event of a session, which has the initial history."""
    match event:
        case events.HistoryUpdated(item=None, deleted_item_id=None):
            return True
        case _:
            return False
