"""Transports: whole text messages over one connection, whatever carries it.

A session is given a :data:`Connector`, by default :func:`connect_trio_websocket`, and asks nothing of
it but to keep the promises of :class:`Transport`. :func:`memory_transport_pair` makes a wire without
a socket, for tests.

Only one task should send on a transport, and never under a cancel scope of the user: a write that
is cut off breaks the connection.
"""

from __future__ import annotations

from ._trio_websocket import (
    connect_trio_websocket as connect_trio_websocket,
)
from .base import (
    ConnectOptions as ConnectOptions,
    Connector as Connector,
    HandshakeRejected as HandshakeRejected,
    Transport as Transport,
    TransportClosed as TransportClosed,
    TransportConnectError as TransportConnectError,
    TransportConnectTimeout as TransportConnectTimeout,
    TransportError as TransportError,
)
from .memory import (
    MemoryTransport as MemoryTransport,
    memory_transport_pair as memory_transport_pair,
)
