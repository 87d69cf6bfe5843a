"""The local server on a port: listens, and serves each connection in a task of its own.

Leaving :func:`serve_local` closes all connections with code 1001.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Unpack
from urllib.parse import urlencode

import trio

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.endpoints import DEFAULT_MODEL, Endpoint
from trio_realtime.errors import InternalError

from .config import ServerConfig, ServerConfigDict
from .connection import Connection, Limits, with_wall_clock
from .stream_server import StreamServer

__all__ = ["LocalServer", "serve_local"]

#: Limit of :meth:`LocalServer.stop` in close timeouts. Stopping takes fewer unless it hangs.
_STOP_TIMEOUTS: Final = 4


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
        self._model = config.default_model or DEFAULT_MODEL
        self.limits = limits
        self._ssl_context = ssl_context
        self._streams = StreamServer(config, limits)
        self._listen_scope = trio.CancelScope()
        self._handler_scope = trio.CancelScope(shield=True)
        self._stopped = trio.Event()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._port

    @property
    def url(self) -> str:
        """The URL for clients that add the model: ``ws://127.0.0.1:PORT/v1/realtime``."""
        return self.url_for(self._host)

    @property
    def url_with_model(self) -> str:
        """The URL for clients that use a URL unchanged, as the agents SDKs do.

        It names ``default_model`` of the configuration, or else the default model of the library.
        """
        return self.url_for(self._host, with_model=True)

    def url_for(self, host: str, *, with_model: bool = False) -> str:
        """Return the URL for clients that reach the server under another name or address.

        Args:
            host: host name or IP address.
            with_model: whether the URL names the model, as in :attr:`url_with_model`.
        """
        scheme = "ws" if self._ssl_context is None else "wss"
        host = f"[{host}]" if ":" in host else host
        query = f"?{urlencode({'model': self._model})}" if with_model else ""
        return f"{scheme}://{host}:{self._port}/v1/realtime{query}"

    @property
    def endpoint(self) -> Endpoint:
        """An endpoint with a valid key, to open sessions with."""
        keys = self._config.api_keys
        key = min(keys) if keys else "local"
        return Endpoint.compatible(
            self.url, api_key=key, model=self._model, dialect=self._config.dialect, proxy=""
        )

    @property
    def connections(self) -> Sequence[Connection]:
        """The latest 1000 connections, oldest first."""
        return list(self._streams.connections)

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
            await self._streams.close_connections()
        self._handler_scope.cancel(reason="the server stops")
        await self._stopped.wait()

    async def _handle(self, tcp: trio.SocketStream) -> None:
        stream: trio.abc.Stream = tcp
        if self._ssl_context is not None:
            stream = trio.SSLStream(tcp, self._ssl_context, server_side=True, https_compatible=True)
        await self._streams.serve(stream)
