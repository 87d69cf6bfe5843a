"""Hides from clients what the texts of errors say about the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import attrs

from trio_realtime.server.rpc import RpcEvent

__all__ = ["HIDDEN", "without_error_details"]

HIDDEN: Final = "the server has the details"
"""Stands for the text of an error."""

#: Events whose texts may name hosts, paths and settings. Others have texts of the service about the conversation.
_TYPES: Final = frozenset(
    {
        "run_ended",
        "run_warning",
        "realtime_error",
        "realtime_reconnecting",
        "realtime_session_ended",
        "realtime_warning",
    }
)


def without_error_details(event: RpcEvent) -> RpcEvent:
    """Return an event without the texts of errors. Codes and types of errors stay."""
    if event.type not in _TYPES:
        return event
    return attrs.evolve(event, data=_hidden(event.data))


def _hidden(value: Any) -> Any:
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return {
            name: HIDDEN if name == "message" and one is not None else _hidden(one)
            for name, one in items
        }
    if isinstance(value, list | tuple):
        return [_hidden(one) for one in cast("list[Any]", value)]
    return value
