"""Doubles for tests, yours and ours: a scripted service, in-memory wires, virtual time.

None of them opens a socket. With :func:`run_virtual`, or pytest-trio's ``autojump_clock``, a test of
a minute-long conversation takes milliseconds and always goes the same way. For a service that
answers by itself, see :mod:`trio_realtime.local`.
"""

from __future__ import annotations

from trio_realtime.endpoints import Endpoint
from trio_realtime.transports import (
    MemoryTransport as MemoryTransport,
    memory_transport_pair as memory_transport_pair,
)

from .clock import run_virtual as run_virtual
from .peer import (
    ScriptedPeer as ScriptedPeer,
    message as message,
    response_object as response_object,
)

TEST_ENDPOINT = Endpoint.compatible("ws://test.invalid/v1/realtime", api_key="test-key")
"""An endpoint for transports that do not care where they go."""
