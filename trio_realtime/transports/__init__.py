"""Transports carry whole messages over one connection.

A session takes a :data:`Connector`, which opens a :class:`Transport`. The default connector is
:func:`connect_trio_websocket`. :func:`memory_transport_pair` creates an in-memory connection for
tests.

:func:`connect_fast` takes less CPU time. Both connectors send pings, and end a connection whose peer
does not answer them. A transport within one process needs no pings, so a connector may ignore these
options.

Only one task should send on a transport, and never inside a cancel scope of the user, because a
cancelled write breaks the connection.
"""

from __future__ import annotations

from ._connectors import (
    connect_fast as connect_fast,
    connect_trio_websocket as connect_trio_websocket,
)
from .base import (
    CallEnded as CallEnded,
    ConnectOptions as ConnectOptions,
    Connector as Connector,
    DirectSender as DirectSender,
    HandshakeRejected as HandshakeRejected,
    MissingPackage as MissingPackage,
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
