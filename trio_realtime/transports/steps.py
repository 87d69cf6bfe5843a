"""Connect like the default connector, and report each step before it begins.

This is for diagnosis: the last step that was reported is the one that failed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import trio

from ._connect import ConnectStep as ConnectStep, open_stream
from ._streams import error_text
from .base import ConnectOptions, Transport, TransportConnectError

__all__ = ["ConnectStep", "connect_in_steps"]


@asynccontextmanager
async def connect_in_steps(
    options: ConnectOptions, begin: Callable[[ConnectStep], None]
) -> AsyncGenerator[Transport]:
    """Open a connection for the duration of the block; see :func:`.connect_trio_websocket`.

    Args:
        options: What to connect to.
        begin: Called before each step. The step ``session`` begins when the connection is open.

    Raises:
        TransportError: See :func:`.connect_trio_websocket`.
    """
    from ._trio_websocket import open_connection

    begin("lookup")
    with trio.move_on_after(options.connect_timeout):  # the connection itself reports a timeout
        await _look_up(options)
    async with open_connection(options, partial(open_stream, begin=begin)) as transport:
        begin("session")
        yield transport


async def _look_up(options: ConnectOptions) -> None:
    """Look up the address of the server, or that of the proxy, which has to be known first."""
    parts = urlsplit(options.proxy or options.url)
    host = parts.hostname or ""
    try:
        await trio.socket.getaddrinfo(host, None, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        message = f"the address of {host} is not known: {error_text(exc)}"
        raise TransportConnectError(message) from exc
