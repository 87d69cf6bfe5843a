"""The local server on a port: accepts connections and serves each in a task of its own.

An error on a connection ends only that connection. Leaving :func:`serve_local` closes all
connections with code 1001.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, Unpack, final

import attrs
import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    wrap_server_stream,
)

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.endpoints import DEFAULT_MODEL, Endpoint
from trio_realtime.errors import InternalError
from trio_realtime.transports import TransportClosed

from . import handshake
from .config import ServerConfig, ServerConfigDict
from .connection import Connection, Limits, logger, serve_connection, with_wall_clock
from .connector import rejection_body
from .types import ConnectionRequest

__all__ = ["LocalServer", "serve_local"]

#: Fits 15 MiB of audio as base64 in a JSON object.
_MAX_MESSAGE_SIZE: Final = 24 * 1024 * 1024
_MESSAGE_QUEUE: Final = 16
_HANDSHAKE_TIMEOUT: Final = 10.0
_MAX_REASON: Final = 123
_MAX_CONNECTIONS: Final = 100
#: Limit of :meth:`LocalServer.stop` in close timeouts. Stopping takes fewer unless it hangs.
_STOP_TIMEOUTS: Final = 4

_Stream: TypeAlias = trio.SocketStream | trio.SSLStream[trio.SocketStream]


@asynccontextmanager
async def serve_local(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    **settings: Unpack[ServerConfigDict],
) -> AsyncGenerator[LocalServer, None]:
    """Run a local realtime server for the duration of the block.

    Leaving the block closes all connections with code 1001, also on cancellation, and leaves no
    task and no socket behind. This takes up to ``limits.close_timeout`` (1 s) if a client does not
    answer the close frame, and twice as long if it does not read.

    Args:
        host: host name or address to listen on.
        port: port to listen on; 0 chooses a free one. See :attr:`LocalServer.port`.
        ssl_context: context with a certificate, to serve ``wss``.
        limits: limits of each connection.
        settings: fields of :class:`ServerConfig`.

    Raises:
        OSError: cannot listen on the address, for example because the port is in use. Choose
            another port, or 0.
        ValueError: a setting is out of range.
    """
    config = with_wall_clock(ServerConfig(**settings))
    listeners = await _listen(host, port)
    server = LocalServer(listeners[0], host, config, limits or Limits(), ssl_context)
    async with open_bare_nursery(InternalError) as nursery:
        # ``run`` is shielded and ends in ``stop`` only, so that connections close in order.
        nursery.start_soon(server.run, listeners)
        try:
            yield server
        finally:
            with trio.move_on_after(_STOP_TIMEOUTS * server.limits.close_timeout, shield=True):
                await server.stop()


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as exc:
        detail = exc.strerror or str(exc)
        message = f"cannot listen on {host} port {port}: {detail}"
        raise OSError(exc.errno, message) from exc


class LocalServer:
    """A running local server. Created by :func:`serve_local`."""

    def __init__(
        self,
        listener: trio.SocketListener,
        host: str,
        config: ServerConfig,
        limits: Limits,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._host = host
        self._port = int(listener.socket.getsockname()[1])
        self._config = config
        self.limits = limits
        self._ssl_context = ssl_context
        self._connections: deque[Connection] = deque(maxlen=_MAX_CONNECTIONS)
        self._open_connections: set[Connection] = set()
        self._connection_count = 0
        self._listen_scope = trio.CancelScope()
        self._handler_scope = trio.CancelScope(shield=True)
        self._stopped = trio.Event()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._port

    @property
    def url(self) -> str:
        """The URL for clients, without a model: ``ws://127.0.0.1:PORT/v1/realtime``."""
        scheme = "ws" if self._ssl_context is None else "wss"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}/v1/realtime"

    @property
    def endpoint(self) -> Endpoint:
        """An endpoint with a valid key, to open sessions with."""
        keys = self._config.api_keys
        return Endpoint.compatible(
            self.url, api_key=min(keys) if keys else "local", model=DEFAULT_MODEL, proxy=""
        )

    @property
    def connections(self) -> Sequence[Connection]:
        """The latest 100 connections, oldest first."""
        return list(self._connections)

    # -- start and stop --------------------------------------------------------------------------

    async def run(self, listeners: list[trio.SocketListener]) -> None:
        """Serve until :meth:`stop` is called. :func:`serve_local` runs this."""
        try:
            with self._handler_scope:
                async with trio.open_nursery() as handlers:
                    with self._listen_scope:
                        await trio.serve_listeners(
                            self._handle, listeners, handler_nursery=handlers
                        )
        finally:
            self._stopped.set()

    async def stop(self) -> None:
        """Close all connections with code 1001, then end. :func:`serve_local` calls this."""
        self._listen_scope.cancel(reason="the server stops")
        with trio.move_on_after(self.limits.close_timeout):
            for connection in list(self._open_connections):
                connection.scope.cancel(reason="the server stops")
            for connection in list(self._open_connections):
                await connection.ended.wait()
        self._handler_scope.cancel(reason="the server stops")
        await self._stopped.wait()

    # -- connections -----------------------------------------------------------------------------

    async def _handle(self, tcp: trio.SocketStream) -> None:
        stream: _Stream = tcp
        if self._ssl_context is not None:
            stream = trio.SSLStream(tcp, self._ssl_context, server_side=True, https_compatible=True)
        try:
            async with trio.open_nursery() as nursery:
                await self._handshake(nursery, stream)
                nursery.cancel_scope.cancel(reason="the connection ended")
        except* Exception as group:  # noqa: BLE001
            # The client does not speak WebSocket, or this is a bug. Neither may end the server.
            logger.warning("a connection failed", exc_info=group)
        finally:
            await trio.aclose_forcefully(stream)

    async def _handshake(self, nursery: trio.Nursery, stream: _Stream) -> None:
        request = None
        with trio.move_on_after(_HANDSHAKE_TIMEOUT):
            request = await wrap_server_stream(
                nursery,
                stream,
                message_queue_size=_MESSAGE_QUEUE,
                max_message_size=_MAX_MESSAGE_SIZE,
                receive_buffer_size=None,
            )
        if request is not None:
            await self._handle_upgrade(request)

    async def _handle_upgrade(self, upgrade: WebSocketRequest) -> None:
        request = _request_of(upgrade, self._connection_count)
        self._connection_count += 1
        if not request.route.rstrip("/").endswith("/realtime"):
            await _reject(upgrade, 404, '{"error":{"message":"Not found."}}')
        elif handshake.is_rejected_with_http(request, self._config):
            await _reject(upgrade, 401, rejection_body(request))
        else:
            await self._accept(upgrade, request)

    async def _accept(self, upgrade: WebSocketRequest, request: ConnectionRequest) -> None:
        protocol = "realtime" if "realtime" in request.subprotocols else None
        websocket = await upgrade.accept(subprotocol=protocol)
        connection = Connection.of(request, self.limits)
        self._connections.append(connection)
        self._open_connections.add(connection)
        try:
            transport = _ServerTransport(websocket, self.limits.close_timeout)
            await serve_connection(transport, connection, self._config, self.limits)
        finally:
            self._open_connections.discard(connection)


async def _reject(upgrade: WebSocketRequest, status: int, body: str) -> None:
    headers = [(b"content-type", b"application/json")]
    with trio.move_on_after(_HANDSHAKE_TIMEOUT):
        await upgrade.reject(status, extra_headers=headers, body=body.encode())


def _request_of(upgrade: WebSocketRequest, serial: int) -> ConnectionRequest:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in upgrade.headers]
    protocols = tuple(upgrade.proposed_subprotocols)
    return ConnectionRequest(upgrade.path, tuple(headers), protocols, serial)


@final
@attrs.frozen(eq=False, repr=False)
class _ServerTransport:
    """The server's side of a WebSocket as a :class:`Transport`."""

    _websocket: WebSocketConnection
    _close_timeout: float

    async def send(self, text: str) -> None:
        try:
            await self._websocket.send_message(text)
        except ConnectionClosed:
            raise self._closed() from None

    async def receive(self) -> str | bytes:
        try:
            return await self._websocket.get_message()
        except ConnectionClosed:
            raise self._closed() from None

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        with trio.move_on_after(self._close_timeout, shield=True):
            await self._websocket.aclose(code, _truncated(reason) or None)

    def _closed(self) -> TransportClosed:
        closed = self._websocket.closed
        if closed is None:
            return TransportClosed()
        return TransportClosed(closed.code, closed.reason or "")


def _truncated(reason: str) -> str:
    """Cut the reason to the 123 bytes that fit in a close frame."""
    return reason.encode()[:_MAX_REASON].decode(errors="ignore")
