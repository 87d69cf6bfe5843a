"""The conversation that a session begins with: the items of ``history=``.

They are created once the session's tasks run, and the service has confirmed them before the user's block
begins. The consumers do not get an event for each of them: the first event of the session has all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import attrs
import trio

from trio_realtime.core import UpdateHistory
from trio_realtime.core.history.edits import check_creatable, check_order
from trio_realtime.errors import ConfigurationError, ConnectTimeout, RequestRejected, UsageError
from trio_realtime.events import AnyEvent, HistoryAdded, HistoryUpdated, RawModelEvent
from trio_realtime.items import HistoryItem, UnknownItem, creatable_items
from trio_realtime.wire import ConversationItemCreate

from .arguments import check_new_ids, history_items
from .consumers.channel import EventChannel
from .runtime import SessionRuntime

_WITHOUT_HISTORY = tuple(
    kind for kind in get_args(AnyEvent) if kind not in (HistoryAdded, HistoryUpdated, RawModelEvent)
)


def initial_items(history: Sequence[HistoryItem]) -> tuple[HistoryItem, ...]:
    """Return the items to create for ``history=``.

    Raises:
        ConfigurationError: one of them cannot be created.
    """
    try:
        items = creatable_items(history_items(history))
        check_new_ids(items, ())
        named = [_with_name(item, number) for number, item in enumerate(items, 1)]
        check_order(named)
        for item in named:
            check_creatable(item)
    except UsageError as exc:
        raise ConfigurationError(f"history=: {exc}") from None
    return items


def _with_name(item: HistoryItem, number: int) -> HistoryItem:
    """Return the item with an id for error messages."""
    if item.id is not None or isinstance(item, UnknownItem):
        return item
    return attrs.evolve(item, id=f"number {number}")


def check_sendable(runtime: SessionRuntime, items: Sequence[HistoryItem]) -> None:
    """Check that items can be encoded for the service, before anything is sent to it.

    Raises:
        ConfigurationError: one of them cannot.
    """
    for item in items:
        try:
            runtime.encode(ConversationItemCreate(item=item))
        except UsageError as exc:
            raise ConfigurationError(f"history=: {exc}") from None


async def create_initial_history(
    runtime: SessionRuntime,
    events: EventChannel[Any],
    items: tuple[HistoryItem, ...],
    deadline: float,
    connect_timeout: float,
) -> None:
    """Create items, and return when the service has confirmed them.

    Args:
        runtime: the session's runtime, whose reader and writer run.
        events: the main channel, which does not report the items one by one.
        items: the items, as :func:`initial_items` returned them.
        deadline: when opening the session has taken too long.
        connect_timeout: the seconds that opening may take, for the error message.

    Raises:
        ConnectTimeout: the service did not confirm the items before the deadline.
        RequestRejected: the service rejected an item.
        RealtimeError: the session ended.
    """
    if not items:
        return
    request = runtime.track_request("edit")
    runtime.bus.change_types(events, _WITHOUT_HISTORY)
    runtime.feed(UpdateHistory(token=request.token, items=items))
    with trio.CancelScope(deadline=deadline) as scope:
        try:
            await request.wait()
        except RequestRejected as exc:
            raise RequestRejected(
                f"the service rejected an item of history=: {exc.message}",
                code=exc.code,
                param=exc.param,
                event_id=exc.event_id,
            ) from None
    if scope.cancelled_caught:
        raise ConnectTimeout(
            f"the service did not confirm the items of history= within {connect_timeout:g} s"
        )
    runtime.bus.change_types(events, ())
