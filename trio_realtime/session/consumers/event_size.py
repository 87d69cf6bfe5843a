"""Estimate how many bytes an unread event holds.

The estimate counts bytes and texts, which are what may be large. It leaves out Python's own objects,
whose number the limit of events bounds, and what events share with the rest of the session: agents,
tools, and the text of a growing item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import attrs

from trio_realtime import events as ev
from trio_realtime.wire import WireObject


def size_of(event: ev.SessionEvent) -> int:
    """Return the estimate of an event, in bytes."""
    if type(event) is ev.Audio:
        return len(event.data) + len(event.item_id) + len(event.response_id)
    size = 0
    for name in _TEXTS.get(type(event), ()):
        text: str | None = getattr(event, name)
        if text:
            size += len(text) if text.isascii() else 4 * len(text)
    rest = _OTHERS.get(type(event))
    return size if rest is None else size + rest(event)


def size_of_value(value: Any) -> int:
    """Return the estimate of a JSON value or an object of the wire, in bytes.

    The value of a service may be nested deeply, so this is not recursive.
    """
    size = 0
    remaining = [value]
    while remaining:
        part = remaining.pop()
        if isinstance(part, str):
            size += len(part) if part.isascii() else 4 * len(part)
        elif isinstance(part, bytes):
            size += len(part)
        elif isinstance(part, tuple | list):
            remaining += part
        elif isinstance(part, Mapping):
            remaining += part.keys()
            remaining += part.values()
        elif isinstance(part, WireObject):
            remaining += (getattr(part, field.name) for field in attrs.fields(type(part)))
    return size


def _size_of_error(event: ev.Error) -> int:
    return size_of_value([arg for arg in event.error.args if isinstance(arg, str | bytes)])


def _size_of_output(event: ev.ToolEnd | ev.ToolAnsweredEarly) -> int:
    """Return the size of the object that a tool returned, if it is a text of its own."""
    output = event.output
    return len(output) if isinstance(output, str | bytes) and output is not event.output_text else 0


def _size_of_update(event: ev.HistoryUpdated) -> int:
    return 0 if event.shares_text else size_of_value(event.item)


def _size_of_raw(event: ev.RawModelEvent) -> int:
    # The typed event has its own copy of the texts.
    return 2 * size_of_value(event.frame)


_TEXTS: Final[Mapping[type[ev.SessionEvent], tuple[str, ...]]] = {
    kind: tuple(
        field.name for field in attrs.fields(kind) if str(field.type) in ("str", "str | None")
    )
    for kind in get_args(ev.AnyEvent)
}
"""The attributes of each event that are texts."""

_OTHERS: Final[Mapping[type[ev.SessionEvent], Callable[[Any], int]]] = {
    ev.HistoryAdded: lambda event: size_of_value(event.item),
    ev.HistoryUpdated: _size_of_update,
    ev.McpToolCallCompleted: lambda event: size_of_value(event.item),
    ev.SettingsUpdated: lambda event: size_of_value(event.session),
    ev.McpToolsChanged: lambda event: size_of_value(event.tools),
    ev.RateLimitsUpdated: lambda event: size_of_value(event.rate_limits),
    ev.ToolEnd: _size_of_output,
    ev.ToolAnsweredEarly: _size_of_output,
    ev.Error: _size_of_error,
    ev.RawModelEvent: _size_of_raw,
}
"""What else an event holds."""
