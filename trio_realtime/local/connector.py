"""The local server in memory: a connector whose peer is a :class:`ServerProtocol`, without sockets.

It runs on trio's clock, so under an autojump clock whole sessions take no time.
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
from .config import ServerConfig, ServerConfigDict
from .connection import Connection, ConnectionLog, Limits, serve_connection, with_wall_clock
from .types import ConnectionRequest

__all__ = ["LocalConnector", "local_connector", "rejection_body"]


def local_connector(
    *, limits: Limits | None = None, **settings: Unpack[ServerConfigDict]
) -> LocalConnector:
    """Return a connector to a new server in memory. Pass it as ``transport=``.

    Only the query of the URL to connect to matters.

    Args:
        limits: limits of each connection.
        settings: fields of :class:`ServerConfig`.

    Raises:
        ValueError: a setting is out of range.
    """
    return LocalConnector(ServerConfig(**settings), limits or Limits())


class LocalConnector:
    """Connects to a local server in memory. Created by :func:`local_connector`.

    Each connection has its own session. All connections share the responder, the transcriber and
    the synthesizer.
    """

    def __init__(self, config: ServerConfig, limits: Limits) -> None:
        self._config = config
        self._limits = limits
        self._connections = ConnectionLog(limits)
        self._connection_count = 0

    @property
    def connections(self) -> Sequence[Connection]:
        """The latest 1000 connections, oldest first."""
        return list(self._connections)

    @property
    def endpoint(self) -> Endpoint:
        """An endpoint with a valid key, for sessions that use this connector."""
        keys = self._config.api_keys
        key = min(keys) if keys else "local"
        return Endpoint.compatible(
            "ws://localhost/v1/realtime",
            api_key=key,
            model=DEFAULT_MODEL,
            dialect=self._config.dialect,
            proxy="",
        )

    def __call__(self, options: ConnectOptions) -> AbstractAsyncContextManager[Transport]:
        """Open a connection for the duration of an ``async with`` block.

        Raises:
            HandshakeRejected: the key is invalid and ``auth_failure`` is ``"http401"``.
        """
        return self._connect(options)

    @asynccontextmanager
    async def _connect(self, options: ConnectOptions) -> AsyncGenerator[Transport, None]:
        request = _request_of(options, self._connection_count)
        if handshake.is_rejected_with_http(request, self._config):
            raise HandshakeRejected(401, rejection_body(request))
        self._connection_count += 1
        connection = self._connections.add(request)
        client, server = memory_transport_pair(
            max_message_size=options.max_message_size, close_timeout=options.close_timeout
        )
        config = with_wall_clock(self._config)
        async with open_bare_nursery(InternalError) as nursery:
            nursery.start_soon(serve_connection, server, connection, config, self._limits)
            try:
                yield client
            finally:
                await client.aclose()
                self._connections.end(connection)


def _request_of(options: ConnectOptions, serial: int) -> ConnectionRequest:
    parts = urlsplit(options.url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return ConnectionRequest(path, options.headers, options.subprotocols, serial)


def rejection_body(request: ConnectionRequest) -> str:
    """Return the body of the HTTP 401 response."""
    error = errors.no_key() if request.api_key is None else errors.invalid_key()
    return msgspec.json.encode({"error": error.body()}).decode()
