"""The interface of realtime models: what a session needs of a service.

A session opens one connection, sends client events and receives server events. How these travel is the
model's affair. The default, :class:`~.websocket.WebSocketModel`, speaks the OpenAI Realtime protocol
over a WebSocket. A model for a service with another protocol translates its messages to the events of
:mod:`trio_realtime.wire`.
"""

from __future__ import annotations

import math
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import attrs

from trio_realtime.wire import ClientEvent, ServerEvent

__all__ = ["ConnectionOptions", "ModelConnection", "RealtimeModel"]


@attrs.frozen(kw_only=True)
class ConnectionOptions:
    """What a session asks of one connection.

    Attributes:
        model: the name of the model in the session's config; ``None`` for the default of the service.
        connect_timeout: seconds for opening the session, as configured. Some may have passed.
        deadline: when connecting has to be done, on trio's clock.
        close_timeout: seconds that closing may take.
        max_message_size: the length of the longest message that is received.
        ping_interval: seconds between two pings; ``None`` for no pings.
        ping_timeout: seconds that the service may stay silent after a ping; ``None`` for no pings. After
            that, ``receive`` raises ``TransportClosed``. A model whose connection has no pings ignores
            both.
    """

    model: str | None = None
    connect_timeout: float = 10.0
    deadline: float = math.inf
    close_timeout: float = 1.0
    max_message_size: int = 32 * 1024 * 1024
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 10.0


class ModelConnection(Protocol):
    """An open connection to a service.

    One task sends while another one receives.
    """

    async def send(self, message: Any) -> None:
        """Send what :meth:`RealtimeModel.encode` has returned.

        The session never cancels a send before the connection is closed.

        Raises:
            TransportClosed: the connection is closed.
        """
        ...

    async def receive(self) -> ServerEvent:
        """Return the next event. Cancellation must lose no event.

        Raises:
            TransportClosed: the connection is closed, and all events that came before were returned.
                The session ends with the exception
                :class:`~trio_realtime.errors.ConnectionLost`, whatever the code.
            CallEnded: the phone call of the connection is over. The session ends without an exception.
            FrameError: a message is not an event. The session reports it and goes on.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection, within ``close_timeout`` seconds. May be called more than once."""
        ...


class RealtimeModel(Protocol):
    """A service that sessions connect to. Pass it as ``model=`` to ``open_realtime_session``."""

    def encode(self, event: ClientEvent) -> Any:
        """Return what :meth:`ModelConnection.send` takes for an event; by default, the event.

        The session calls this for every event before it is queued, so that a caller learns at once
        what the service cannot do.

        Raises:
            ValueError: the service cannot do this. The message names the setting.
        """
        return event

    def connect(self, options: ConnectionOptions) -> AbstractAsyncContextManager[ModelConnection]:
        """Return a context manager that opens one connection and closes it.

        Entering it may raise a :class:`~trio_realtime.errors.RealtimeError`, or an exception of
        :mod:`trio_realtime.transports`, which the session converts.
        """
        ...
