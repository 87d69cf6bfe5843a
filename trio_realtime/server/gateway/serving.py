"""Serves the gateway with Hypercorn, on trio."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

import hypercorn.trio
import trio
from hypercorn.config import Config
from starlette.applications import Starlette

from trio_realtime.errors import ConfigurationError

__all__ = ["serve_app"]

#: Seconds between two pings to each client. They notice a lost client, and keep proxies from closing.
_PING_INTERVAL: Final = 20.0
#: Seconds that requests have to end after the sessions have ended.
_GRACEFUL_TIMEOUT: Final = 3.0


async def serve_app(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    certfile: Path | None = None,
    keyfile: Path | None = None,
    max_message_size: int = 1024 * 1024,
    shutdown: Callable[[], Awaitable[None]] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an application until ``shutdown`` returns, or until cancelled.

    Reports the URLs that it listens on with ``task_status``.

    Args:
        app: the application.
        host: the address to listen on.
        port: the port to listen on; 0 chooses a free one.
        certfile: a PEM file with the certificate chain, to serve ``https`` and ``wss``.
        keyfile: a PEM file with the private key, if ``certfile`` has none.
        max_message_size: bytes of one message of a WebSocket client.
        shutdown: returns when the server should stop.

    Raises:
        ConfigurationError: the certificate cannot be used.
        OSError: the server cannot listen on this address.
    """
    config = Config()
    config.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    config.websocket_max_message_size = max_message_size
    config.websocket_ping_interval = _PING_INTERVAL
    config.graceful_timeout = _GRACEFUL_TIMEOUT
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    if certfile is not None:
        _check_certificate(certfile, keyfile)
        config.certfile = str(certfile)
        config.keyfile = str(keyfile if keyfile is not None else certfile)
    wait: Any = shutdown if shutdown is not None else trio.sleep_forever
    application: Any = app
    serve = cast("Any", hypercorn.trio).serve  # partly typed
    await serve(application, config, shutdown_trigger=wait, task_status=task_status, mode="asgi")


def _check_certificate(certfile: Path, keyfile: Path | None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certfile, keyfile)
    except OSError as exc:  # SSLError is one
        problem = exc.strerror or str(exc)
        raise ConfigurationError(f"the certificate {certfile} cannot be used: {problem}") from None
