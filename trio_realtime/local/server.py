"""The local server on a port: listens, shakes hands, and gives each connection a task of its own.

What goes wrong on one connection ends that connection. Leaving :func:`serve_local` closes the others
with code 1001.
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
from .config import ServiceOptions, ServiceSettings
from .connection import Connection, Limits, converse, logger, with_wall_clock
from .connector import refusal_body
from .types import ConnectionRequest

__all__ = ["LocalServer", "serve_local"]

#: Room for 15 MiB of audio as base64, and the JSON around it.
_MAX_MESSAGE_SIZE: Final = 24 * 1024 * 1024
_MESSAGE_QUEUE: Final = 16
_HANDSHAKE_TIMEOUT: Final = 10.0
_MAX_REASON: Final = 123
_KEPT_CONNECTIONS: Final = 100
#: More close timeouts than stopping can take, so that no bug holds up the program.
_STOP_TIMEOUTS: Final = 4

_Stream: TypeAlias = trio.SocketStream | trio.SSLStream[trio.SocketStream]


@asynccontextmanager
async def serve_local(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    **settings: Unpack[ServiceSettings],
) -> AsyncGenerator[LocalServer, None]:
    """Run a local realtime server for the time of the block.

    Leaving the block, also when cancelled, closes its connections with code 1001. That takes
    ``limits.close_timeout`` (1 s) for clients that do not answer, and twice that for those that do
    not even read; then no task and no socket is left.

    Args:
        host: name or address to listen at.
        port: by default a free one; see :attr:`LocalServer.port`.
        ssl_context: serve ``wss`` with this certificate.
        limits: of one connection.
        settings: how it behaves; see :class:`ServiceOptions`.

    Raises:
        OSError: it cannot listen there, for example because the port is in use. Choose another, or 0.
        ValueError: a setting out of its range.
    """
    options = with_wall_clock(ServiceOptions(**settings))
    listeners = await _listen(host, port)
    server = LocalServer(listeners[0], host, options, limits or Limits(), ssl_context)
    async with open_bare_nursery(InternalError) as nursery:
        # Shielded from everybody: it ends by ``stop`` alone, so that closing can be orderly.
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
        message = f"cannot listen at {host} port {port}: {detail}"
        raise OSError(exc.errno, message) from exc


class LocalServer:
    """A running local server. Made by :func:`serve_local`."""

    def __init__(
        self,
        listener: trio.SocketListener,
        host: str,
        options: ServiceOptions,
        limits: Limits,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._host = host
        self._port = int(listener.socket.getsockname()[1])
        self._options = options
        self.limits = limits
        self._ssl_context = ssl_context
        self._connections: deque[Connection] = deque(maxlen=_KEPT_CONNECTIONS)
        self._live: set[Connection] = set()
        self._served = 0
        self._listening = trio.CancelScope()
        self._handling = trio.CancelScope(shield=True)
        self._stopped = trio.Event()

    @property
    def port(self) -> int:
        """The port it listens at."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients connect, without a model: ``ws://127.0.0.1:PORT/v1/realtime``."""
        scheme = "ws" if self._ssl_context is None else "wss"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}/v1/realtime"

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint to open sessions with; it has a key that is let in."""
        keys = self._options.api_keys
        return Endpoint.compatible(
            self.url, api_key=min(keys) if keys else "local", model=DEFAULT_MODEL
        )

    @property
    def connections(self) -> Sequence[Connection]:
        """The latest 100 connections, the oldest first."""
        return list(self._connections)

    # -- life ----------------------------------------------------------------------------------

    async def run(self, listeners: list[trio.SocketListener]) -> None:
        """Serve until :meth:`stop`. Called by :func:`serve_local`."""
        try:
            with self._handling:
                async with trio.open_nursery() as handlers:
                    with self._listening:
                        await trio.serve_listeners(
                            self._handle, listeners, handler_nursery=handlers
                        )
        finally:
            self._stopped.set()

    async def stop(self) -> None:
        """Close all connections with code 1001, then end. Called by :func:`serve_local`."""
        self._listening.cancel(reason="the server stops")
        with trio.move_on_after(self.limits.close_timeout):
            for connection in list(self._live):
                connection.scope.cancel(reason="the server stops")
            for connection in list(self._live):
                await connection.ended.wait()
        self._handling.cancel(reason="the server stops")
        await self._stopped.wait()

    # -- one connection ------------------------------------------------------------------------

    async def _handle(self, tcp: trio.SocketStream) -> None:
        stream: _Stream = tcp
        if self._ssl_context is not None:
            stream = trio.SSLStream(tcp, self._ssl_context, server_side=True, https_compatible=True)
        try:
            async with trio.open_nursery() as nursery:
                await self._shake_hands(nursery, stream)
                nursery.cancel_scope.cancel(reason="the connection ended")
        except* Exception as group:  # noqa: BLE001
            # Somebody who speaks no WebSocket, or a bug: neither may end the server.
            logger.warning("a connection broke", exc_info=group)
        finally:
            await trio.aclose_forcefully(stream)

    async def _shake_hands(self, nursery: trio.Nursery, stream: _Stream) -> None:
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
            await self._welcome(request)

    async def _welcome(self, upgrade: WebSocketRequest) -> None:
        request = _request_of(upgrade, self._served)
        self._served += 1
        if not request.route.rstrip("/").endswith("/realtime"):
            await _reject(upgrade, 404, '{"error":{"message":"Not found."}}')
        elif handshake.is_refused_by_http(request, self._options):
            await _reject(upgrade, 401, refusal_body(request))
        else:
            await self._serve(upgrade, request)

    async def _serve(self, upgrade: WebSocketRequest, request: ConnectionRequest) -> None:
        protocol = "realtime" if "realtime" in request.subprotocols else None
        websocket = await upgrade.accept(subprotocol=protocol)
        connection = Connection.of(request, self.limits)
        self._connections.append(connection)
        self._live.add(connection)
        try:
            transport = _ServerTransport(websocket, self.limits.close_timeout)
            await converse(transport, connection, self._options, self.limits)
        finally:
            self._live.discard(connection)


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
    """The server's end of a WebSocket as a :class:`Transport`."""

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
            await self._websocket.aclose(code, _shortened(reason) or None)

    def _closed(self) -> TransportClosed:
        seen = self._websocket.closed
        return TransportClosed() if seen is None else TransportClosed(seen.code, seen.reason or "")


def _shortened(reason: str) -> str:
    """A close frame has room for 123 bytes of reason."""
    return reason.encode()[:_MAX_REASON].decode(errors="ignore")
