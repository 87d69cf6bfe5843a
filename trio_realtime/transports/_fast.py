"""Open a :class:`.FastConnection`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from trio_realtime._nursery import open_bare_nursery

from ._connect import OpenStream, connect_deadline, open_stream
from ._fast_connection import FastConnection
from ._streams import closed_on_error
from .base import ConnectOptions, Transport, TransportError

__all__ = ["open_connection"]


@asynccontextmanager
async def open_connection(
    options: ConnectOptions, open_stream: OpenStream = open_stream
) -> AsyncGenerator[Transport]:
    """Open a connection; see :func:`.connect_fast`.

    Args:
        options: What to connect to.
        open_stream: Connects.
    """
    async with open_bare_nursery(TransportError) as nursery:
        connection = await _connect(nursery, options, open_stream)
        nursery.start_soon(connection.run)
        try:
            yield connection
        finally:
            await connection.aclose()


async def _connect(
    nursery: trio.Nursery, options: ConnectOptions, open_stream: OpenStream
) -> FastConnection:
    with connect_deadline(options):
        stream = await open_stream(options)
        async with closed_on_error(stream):
            connection = FastConnection(options, stream, nursery)
            await connection.perform_handshake()
            return connection
