"""Tables of handlers, by the class of the server event; several rooms may care for one event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from trio_realtime.wire import ServerEvent

from .effects import Effect

Handler: TypeAlias = Callable[[Any, float], Sequence[Effect]]
Handlers: TypeAlias = dict[type[ServerEvent], Handler]


def merged(*tables: Mapping[type[ServerEvent], Handler]) -> Handlers:
    """One table of several. Who cares for the same event gets it in the order of the tables."""
    together: dict[type[ServerEvent], list[Handler]] = {}
    for table in tables:
        for kind, handler in table.items():
            together.setdefault(kind, []).append(handler)
    return {kind: _in_order(handlers) for kind, handlers in together.items()}


def _in_order(handlers: Sequence[Handler]) -> Handler:
    if len(handlers) == 1:
        return handlers[0]  # the way of an audio frame is one call long

    def handle(event: Any, now: float) -> Sequence[Effect]:
        return [effect for handler in handlers for effect in handler(event, now)]

    return handle
