"""The local server without sockets: a connector whose other end is a service in memory.

Everything runs on trio's clock, so whole sessions run in no time under an autojump clock.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Unpack
from urllib.parse import urlsplit

import msgspec

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.endpoints import DEFAULT_MODEL, Endpoint
from trio_realtime.errors import InternalError
from trio_realtime.transports import (
    ConnectOptions,
    HandshakeRejected,
    Transport,
    memory_transport_pair,
)

from . import errors, handshake
from .config import ServiceOptions, ServiceSettings
from .connection import Connection, Limits, converse, with_wall_clock
from .types import ConnectionRequest

__all__ = ["LocalConnector", "local_connector", "refusal_body"]


def local_connector(
    *, limits: Limits | None = None, **settings: Unpack[ServiceSettings]
) -> LocalConnector:
    """A connector to a server of its own, in memory.

    Pass it as ``transport=``; which URL is dialled does not matter but for its query.

    Args:
        limits: of one connection.
        settings: see :class:`ServiceOptions`.
    """
    return LocalConnector(ServiceOptions(**settings), limits or Limits())


class LocalConnector:
    """Connects to a service in memory. Made by :func:`local_connector`.

    Every connection gets a session of its own; brain, ears and voice are shared.
    """

    def __init__(self, options: ServiceOptions, limits: Limits) -> None:
        self._options = options
        self._limits = limits
        self._connections: list[Connection] = []

    @property
    def connections(self) -> Sequence[Connection]:
        """All connections so far, the first one first."""
        return self._connections

    @property
    def endpoint(self) -> Endpoint:
        """An endpoint that may be used with it; nothing is ever dialled there."""
        keys = self._options.api_keys
        key = min(keys) if keys else "local"
        return Endpoint.compatible("ws://localhost/v1/realtime", api_key=key, model=DEFAULT_MODEL)

    def __call__(self, dial: ConnectOptions) -> AbstractAsyncContextManager[Transport]:
        """Open one connection, for the time of an ``async with`` block.

        Raises:
            HandshakeRejected: the key was refused and ``auth_failure`` is ``"http401"``.
        """
        return self._connect(dial)

    @asynccontextmanager
    async def _connect(self, dial: ConnectOptions) -> AsyncGenerator[Transport, None]:
        request = _request_of(dial, len(self._connections))
        if handshake.is_refused_by_http(request, self._options):
            raise HandshakeRejected(401, refusal_body(request))
        connection = Connection.of(request, self._limits)
        self._connections.append(connection)
        near, far = memory_transport_pair(
            max_message_size=dial.max_message_size, close_timeout=dial.close_timeout
        )
        options = with_wall_clock(self._options)
        async with open_bare_nursery(InternalError) as nursery:
            nursery.start_soon(converse, far, connection, options, self._limits)
            try:
                yield near
            finally:
                await near.aclose()


def _request_of(dial: ConnectOptions, serial: int) -> ConnectionRequest:
    parts = urlsplit(dial.url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return ConnectionRequest(path, dial.headers, dial.subprotocols, serial)


def refusal_body(request: ConnectionRequest) -> str:
    """The body of an HTTP 401."""
    fault = errors.no_key() if request.api_key is None else errors.bad_key()
    return msgspec.json.encode({"error": fault.body()}).decode()
