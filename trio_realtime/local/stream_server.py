"""Serves byte streams: reads the HTTP request, and answers it or opens a WebSocket connection.

An error on a stream ends only that stream. Streams may be sockets or, in tests, streams in memory.
"""

from __future__ import annotations

from typing import Final, cast

import attrs
import trio
from trio_websocket import WebSocketRequest
from wsproto.utilities import LocalProtocolError

from trio_realtime.transports.keepalive import Keepalive
from trio_realtime.transports.server import ServerConnection, read_upgrade

from . import handshake, http_api
from .client_secrets import ClientSecrets
from .config import ServerConfig
from .connection import Connection, ConnectionLog, Limits, logger, serve_connection
from .http_api import HttpApi
from .http_requests import (
    HttpRequest,
    HttpResponse,
    read_request,
    send_response,
)
from .types import ConnectionRequest
from .websocket import ServerTransport, close_if_lost

__all__ = ["StreamServer"]

_LOST_CLIENT: Final = (
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    # The WebSocket library raises this for a ping that arrives during the close handshake.
    LocalProtocolError,
)

#: Fits 15 MiB of audio as base64 in a JSON object.
_MAX_MESSAGE_SIZE: Final = 24 * 1024 * 1024
#: Seconds for TLS, the HTTP request and the WebSocket handshake together.
_HANDSHAKE_TIMEOUT: Final = 10.0


class StreamServer:
    """Serves byte streams, each in the task of its caller.

    Args:
        config: configuration of the server, with its ``epoch``.
        limits: limits of each connection.

    Attributes:
        connections: the latest connections.
    """

    def __init__(self, config: ServerConfig, limits: Limits) -> None:
        self.connections: ConnectionLog = ConnectionLog(limits)
        self._config = config
        self._limits = limits
        self._secrets = ClientSecrets(config)
        self._api = HttpApi(config, self._secrets)
        self._open_connections: set[Connection] = set()
        self._connection_count = 0

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve a stream until either side closes it, and close it.

        Cancellation closes the stream at once; :meth:`close_connections` closes it in order.
        """
        try:
            async with trio.open_nursery() as nursery:
                await self._serve(nursery, stream)
                nursery.cancel_scope.cancel(reason="the connection ended")
        except* _LOST_CLIENT as group:
            logger.info("a client was lost: %r", group.exceptions[0])
        except* Exception as group:  # noqa: BLE001 - a bug may not end the server
            logger.warning("a connection failed", exc_info=group)
        finally:
            await trio.aclose_forcefully(stream)

    async def close_connections(self) -> None:
        """Close all connections with code 1001, and wait until they are closed."""
        for connection in list(self._open_connections):
            connection.scope.cancel(reason="the server stops")
        for connection in list(self._open_connections):
            await connection.ended.wait()

    # -- HTTP ------------------------------------------------------------------------------------

    async def _serve(self, nursery: trio.Nursery, stream: trio.abc.Stream) -> None:
        upgrade = None
        with trio.move_on_after(_HANDSHAKE_TIMEOUT):
            upgrade = await self._read_upgrade(nursery, stream)
        if upgrade is not None:
            await self._accept(*upgrade)

    async def _read_upgrade(
        self, nursery: trio.Nursery, stream: trio.abc.Stream
    ) -> tuple[WebSocketRequest, HttpRequest, Keepalive] | None:
        """Read one request. Return it if it opens a WebSocket; answer any other request."""
        received = await read_request(stream)
        if received is None:
            return None
        if isinstance(received, HttpResponse):
            await send_response(stream, received)
            return None
        request, head, frames = received
        response = self._answer(request)
        if response is not None:
            await send_response(stream, response, method=request.method)
            return None
        upgrade, keepalive = await read_upgrade(
            nursery,
            stream,
            head,
            frames,
            message_queue_size=0,  # a message may have megabytes
            max_message_size=_MAX_MESSAGE_SIZE,
        )
        return upgrade, request, keepalive

    def _answer(self, request: HttpRequest) -> HttpResponse | None:
        """Return the response to a request; None to open a WebSocket."""
        if not request.is_upgrade:
            return self._api.respond(request, trio.current_time())
        connection = self._authorized(request.connection_request())
        if not connection.route.rstrip("/").endswith("/realtime"):
            return http_api.not_found(request)
        if handshake.is_rejected_with_http(connection, self._config):
            return http_api.unauthorized(request)
        return None

    def _authorized(self, request: ConnectionRequest) -> ConnectionRequest:
        """Return the request with its ephemeral key, if it has a valid one."""
        secret = self._secrets.find(request.api_key, trio.current_time())
        return attrs.evolve(request, client_secret=secret)

    # -- WebSockets ------------------------------------------------------------------------------

    async def _accept(
        self, upgrade: WebSocketRequest, received: HttpRequest, keepalive: Keepalive
    ) -> None:
        protocol = "realtime" if "realtime" in received.subprotocols else None
        websocket = cast("ServerConnection", await upgrade.accept(subprotocol=protocol))
        request = self._authorized(received.connection_request(self._connection_count))
        self._connection_count += 1
        if request.client_secret is not None and not self._secrets.use(request.client_secret):
            request = attrs.evolve(request, client_secret=None)  # another connection was faster
        await self._serve_connection(websocket, request, keepalive)

    async def _serve_connection(
        self, websocket: ServerConnection, request: ConnectionRequest, keepalive: Keepalive
    ) -> None:
        transport = ServerTransport(websocket, self._limits.close_timeout)
        connection = self.connections.add(request)
        self._open_connections.add(connection)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keepalive.send_pongs, websocket)
                nursery.start_soon(close_if_lost, websocket, keepalive, connection, self._limits)
                await serve_connection(transport, connection, self._config, self._limits)
                nursery.cancel_scope.cancel(reason="the connection ended")
        finally:
            self._open_connections.discard(connection)
            self.connections.end(connection)
