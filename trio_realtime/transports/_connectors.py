"""The connectors. They import their WebSocket library when they connect, because that takes a while."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from .base import ConnectOptions, Transport

__all__ = ["connect_fast", "connect_trio_websocket"]


def connect_trio_websocket(options: ConnectOptions) -> AbstractAsyncContextManager[Transport]:
    """Open a WebSocket connection for the duration of an ``async with`` block.

    Leaving the block closes the connection with code 1000, within ``options.close_timeout``
    seconds, and then closes the socket. Neither an unresponsive peer nor cancellation prevents this. An
    exception of the block is raised unchanged.

    A ping is sent every ``options.ping_interval`` seconds. If the peer neither answers it nor sends a
    part of a message for ``options.ping_timeout`` seconds, the connection ends: ``receive`` and
    ``send`` raise :class:`TransportClosed` with code 1006, and the reason says so. An idle peer that
    stops answering is thus noticed within the sum of both. While the queue of messages is full because
    no task receives, this is not measured.

    Raises:
        HandshakeRejected: The server answered with an HTTP status; its body may give the reason.
            Redirects are not followed.
        TransportConnectTimeout: Connecting took longer than ``options.connect_timeout`` seconds.
            Retrying may help.
        TransportConnectError: The connection failed; the message names the failed step.
        MissingPackage: The proxy needs an optional package.
    """
    from ._trio_websocket import open_connection

    return open_connection(options)


def connect_fast(options: ConnectOptions) -> AbstractAsyncContextManager[Transport]:
    """Open a WebSocket connection that takes less CPU time; see :func:`connect_trio_websocket`.

    The connection reads and writes the bare socket, and runs TLS itself. The task that receives reads the
    socket, so no other task has to run for a message. While no task receives for a second, the connection
    reads up to 64 messages in advance, so it still answers pings and notices its end.

    On systems other than POSIX, and behind a proxy with an ``https`` URL, the streams of trio read and write
    instead, which takes more time.

    Raises:
        HandshakeRejected: The server answered with an HTTP status; its body may give the reason.
            Redirects are not followed.
        TransportConnectTimeout: Connecting took longer than ``options.connect_timeout`` seconds.
            Retrying may help.
        TransportConnectError: The connection failed; the message names the failed step.
        MissingPackage: The proxy needs an optional package.
    """
    from ._fast import open_connection

    return open_connection(options)
