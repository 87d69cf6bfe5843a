"""Serves an ASGI application with Hypercorn, on trio.

Hypercorn's own ``serve`` ends if one connection fails, and a client that does not read can block it for ever:
it sends under a shield, without a timeout. So the connections are accepted here, each of them is isolated, and
each message has a deadline. Hypercorn speaks HTTP and WebSocket on them.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast, final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from starlette.types import ASGIApp

from trio_realtime.errors import ConfigurationError

__all__ = ["serve_app"]

_log: Final = logging.getLogger("trio_realtime.server.gateway")

#: Seconds between two pings to each client. They notice a lost client, and keep proxies from closing.
_PING_INTERVAL: Final = 20.0


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
    config.websocket_ping_interval = _PING_INTERVAL
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    context = None if certfile is None else _load_certificate(certfile, keyfile)
    state: dict[str, Any] = {}
    wrapped: Any = ASGIWrapper(cast("Any", app))
    lifespan = Lifespan(wrapped, config, state)
    worker = WorkerContext(None)
    async with trio.open_nursery() as application:
        await application.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        async with trio.open_nursery() as connections:
            listeners = await trio.open_tcp_listeners(port, host=host)
            handle = partial(
                _serve_connection, wrapped, config, worker, state, send_timeout, context
            )
            async with trio.open_nursery() as accepting:
                accepting.start_soon(
                    partial(trio.serve_listeners, handle, listeners, handler_nursery=connections)
                )
                task_status.started([_url_of(listener, context) for listener in listeners])
                await shutdown()
                accepting.cancel_scope.cancel(reason="the server stops")
            await worker.terminated.set()
            connections.cancel_scope.deadline = trio.current_time() + graceful_timeout
        await lifespan.wait_for_shutdown()
        application.cancel_scope.cancel(reason="the server has stopped")


async def _serve_connection(
    app: Any,
    config: Config,
    worker: WorkerContext,
    state: dict[str, Any],
    send_timeout: float,
    context: ssl.SSLContext | None,
    stream: trio.SocketStream,
) -> None:
    """Serve one connection. Whatever fails ends only this connection."""
    transport: Any = stream
    if context is not None:
        transport = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    connection = _Connection(app, config, worker, cast("Any", dict(state)), transport)
    connection.send_timeout = send_timeout
    try:
        await connection.run()
    except Exception:  # noqa: BLE001 - the other connections go on
        _log.exception("a connection failed")
    finally:
        await trio.aclose_forcefully(stream)


@final
class _Connection(TCPServer):
    """A connection that does not wait for ever for a client that does not read."""

    send_timeout: float = 30.0

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
        raise ConfigurationError(f"the certificate {certfile} cannot be used: {problem}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
