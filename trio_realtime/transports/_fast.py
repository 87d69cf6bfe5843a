"""Open a :class:`.FastConnection`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import trio

from ._connect import OpenStream, connect_deadline, open_stream, open_transport
from ._fast_connection import FastConnection
from ._streams import closed_on_error
from .base import ConnectOptions, Transport

__all__ = ["open_connection"]


def open_connection(
    options: ConnectOptions, open_stream: OpenStream = open_stream
) -> AbstractAsyncContextManager[Transport]:
    """Open a connection; see :func:`.connect_fast`.

    Args:
        options: What to connect to.
        open_stream: Connects.
    """
    return open_transport(_connect, options, open_stream)


async def _connect(
    nursery: trio.Nursery, options: ConnectOptions, open_stream: OpenStream
) -> FastConnection:
    with connect_deadline(options):
        stream = await open_stream(options)
        async with closed_on_error(stream):
            connection = FastConnection(options, stream, nursery)
            await connection.perform_handshake()
    nursery.start_soon(connection.run)
    return connection
