"""Serves an ASGI application on trio: HTTP with Hypercorn, and WebSockets with the library's own.

Hypercorn's own ``serve`` ends if one connection fails, and a client that does not read can block it for ever:
it sends under a shield, without a timeout. So the connections are accepted here, each of them is isolated, and
each message has a deadline. A connection whose first request opens a WebSocket is served without Hypercorn.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast, final

import attrs
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from starlette.types import ASGIApp

from trio_realtime.errors import ConfigurationError

from .asgi_websocket import FirstRequest, read_first_request, serve_websocket

__all__ = ["serve_app"]

_log: Final = logging.getLogger("trio_realtime.server.gateway")

#: Seconds for TLS and the head of the first request.
_FIRST_REQUEST_TIMEOUT: Final = 10.0


async def serve_app(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    certfile: Path | None = None,
    keyfile: Path | None = None,
    max_message_size: int = 1024 * 1024,
    send_timeout: float = 30.0,
    graceful_timeout: float = 3.0,
    shutdown: Callable[[], Awaitable[None]] = trio.sleep_forever,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an application until ``shutdown`` returns, or until cancelled.

    Reports the URLs that it listens on with ``task_status``. A connection that fails is logged, and ends nothing
    else.

    Args:
        app: the application.
        host: the address to listen on.
        port: the port to listen on; 0 chooses a free one.
        certfile: a PEM file with the certificate chain, to serve ``https`` and ``wss``.
        keyfile: a PEM file with the private key, if ``certfile`` has none.
        max_message_size: bytes of one message of a WebSocket client.
        send_timeout: seconds that a client may take to read a part of an answer or a message. Then its
            connection is closed.
        graceful_timeout: seconds that requests have to end after ``shutdown`` has returned.
        shutdown: returns when the server should stop.

    Raises:
        ConfigurationError: the certificate cannot be used.
        OSError: the server cannot listen on this address.
    """
    config = Config()
    config.websocket_max_message_size = max_message_size
    config.websocket_ping_interval = 20.0  # on a connection that had a request before
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    context = None if certfile is None else _load_certificate(certfile, keyfile)
    state: dict[str, Any] = {}
    wrapped: Any = ASGIWrapper(cast("Any", app))
    lifespan = Lifespan(wrapped, config, state)
    server = _Server(
        app=app,
        wrapped=wrapped,
        config=config,
        state=state,
        context=context,
        send_timeout=send_timeout,
    )
    async with trio.open_nursery() as application:
        await application.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        async with trio.open_nursery() as connections:
            listeners = await trio.open_tcp_listeners(port, host=host)
            async with trio.open_nursery() as accepting:
                accepting.start_soon(
                    partial(
                        trio.serve_listeners,
                        server.serve_connection,
                        listeners,
                        handler_nursery=connections,
                    )
                )
                task_status.started([_url_of(listener, context) for listener in listeners])
                await shutdown()
                accepting.cancel_scope.cancel(reason="the server stops")
            await server.worker.terminated.set()
            connections.cancel_scope.deadline = trio.current_time() + graceful_timeout
        await lifespan.wait_for_shutdown()
        application.cancel_scope.cancel(reason="the server has stopped")


@final
@attrs.frozen(kw_only=True)
class _Server:
    """What all connections share.

    Attributes:
        app: the application.
        wrapped: the application as Hypercorn calls it.
        config: the configuration of Hypercorn.
        state: the state of the lifespan of the application.
        context: the certificate; ``None`` without TLS.
        send_timeout: seconds that a client may take to read.
        worker: tells Hypercorn's connections that the server stops.
    """

    app: ASGIApp
    wrapped: Any
    config: Config
    state: dict[str, Any]
    context: ssl.SSLContext | None
    send_timeout: float
    worker: WorkerContext = attrs.field(factory=partial(WorkerContext, None))

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Serve one connection. Whatever fails ends only this connection."""
        try:
            await self._serve(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            _log.debug("a client was lost before its first request")
        except Exception:  # noqa: BLE001 - the other connections go on
            _log.exception("a connection failed")
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve(self, socket: trio.SocketStream) -> None:
        stream: Any = socket
        first: FirstRequest | None = None
        with trio.move_on_after(_FIRST_REQUEST_TIMEOUT):
            if self.context is not None:
                stream = trio.SSLStream(
                    socket, self.context, server_side=True, https_compatible=True
                )
                await stream.do_handshake()
            first = await read_first_request(stream)
        if first is None:
            return
        if first.upgrade is None:
            state: Any = dict(self.state)
            connection = _Connection(self.wrapped, self.config, self.worker, state, stream)
            connection.received, connection.send_timeout = first.head, self.send_timeout
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_close_when_cancelled, socket)
                try:
                    await connection.run()
                except Exception:  # noqa: BLE001 - the other connections go on
                    _log.exception("a connection failed")
                nursery.cancel_scope.cancel(reason="the connection has ended")
            return
        await serve_websocket(
            self.app,
            first.to_scope(socket, is_tls=self.context is not None, state=self.state),
            stream,
            first,
            max_message_size=self.config.websocket_max_message_size,
            send_timeout=self.send_timeout,
        )


async def _close_when_cancelled(stream: trio.SocketStream) -> None:
    """Close a connection at the end. What is sent under a shield fails then, instead of delaying the end."""
    try:
        await trio.sleep_forever()
    finally:
        stream.socket.close()


@final
class _Connection(TCPServer):
    """A connection of Hypercorn that does not wait for ever for a client that does not read.

    Attributes:
        received: what was received before.
        send_timeout: seconds that the client may take to read a part of an answer.
    """

    received: bytes = b""
    send_timeout: float = 30.0

    async def _read_data(self) -> None:
        await self.protocol.handle(RawData(self.received))
        await super()._read_data()

    async def protocol_send(self, event: Event) -> None:
        """Send what the protocol has to send."""
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        is_open = False
        async with self.send_lock:
            # A message that is cut short would break the stream. So its end is the end of the connection.
            with trio.move_on_after(self.send_timeout, shield=True):
                try:
                    await self.stream.send_all(event.data)
                    is_open = True
                except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                    pass
            if not is_open:
                await trio.aclose_forcefully(self.stream)
        if not is_open:
            await self.protocol.handle(Closed())

    async def _close(self) -> None:
        async with self.send_lock:  # `send_eof` and `send_all` exclude each other
            with trio.move_on_after(self.send_timeout, shield=True):
                await super()._close()


def _url_of(listener: trio.SocketListener, context: ssl.SSLContext | None) -> str:
    host, port = listener.socket.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'http' if context is None else 'https'}://{shown}:{port}"


def _load_certificate(certfile: Path, keyfile: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certfile, keyfile)
    except OSError as exc:  # SSLError is one
        problem = exc.strerror or str(exc)
        if isinstance(exc, ssl.SSLError) and keyfile is None:
            problem = "keyfile must name its private key, or certfile must have both"
        files = str(certfile) if keyfile is None else f"{certfile} with the key {keyfile}"
        raise ConfigurationError(f"the certificate {files} cannot be used: {problem}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
