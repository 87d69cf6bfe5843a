"""Open a :class:`.FastConnection`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from trio_realtime._nursery import open_bare_nursery

from ._buffered_stream import BufferedStream
from ._byte_streams import byte_stream_of
from ._connect import connect_deadline, host_name, open_tunnel_stream, peer_name, uses_tls
from ._fast_connection import FastConnection
from ._streams import default_context, tls_error
from ._tls import TlsCodec
from .base import ConnectOptions, Transport, TransportError

__all__ = ["open_connection"]


@asynccontextmanager
async def open_connection(options: ConnectOptions) -> AsyncGenerator[Transport]:
    """Open a connection; see :func:`.connect_fast`."""
    async with open_bare_nursery(TransportError) as nursery:
        connection = await _connect(nursery, options)
        nursery.start_soon(connection.run)
        try:
            yield connection
        finally:
            await connection.aclose()


async def _connect(nursery: trio.Nursery, options: ConnectOptions) -> FastConnection:
    with connect_deadline(options):
        tls = _tls_of(options)
        stream = BufferedStream(byte_stream_of(await open_tunnel_stream(options)), tls)
        try:
            await stream.do_handshake(peer_name(options))
            connection = FastConnection(options, stream, nursery)
            await connection.perform_handshake()
        except BaseException:
            await stream.aclose()
            raise
        return connection


def _tls_of(options: ConnectOptions) -> TlsCodec | None:
    if not uses_tls(options):
        return None
    try:
        return TlsCodec(options.ssl_context or default_context(), host_name(options))
    except ValueError as exc:  # the host name
        raise tls_error(exc, peer_name(options)) from exc
