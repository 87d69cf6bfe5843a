"""Test doubles: a scripted service, in-memory transports and virtual time.

None of them opens a socket. With :func:`run_virtual`, or with pytest-trio's ``autojump_clock``, a
test of a minute-long conversation takes milliseconds and is deterministic. For a service that
responds on its own, see :mod:`trio_realtime.local`.
"""

from __future__ import annotations

from trio_realtime.endpoints import Endpoint
from trio_realtime.transports import (
    MemoryTransport as MemoryTransport,
    memory_transport_pair as memory_transport_pair,
)

from . import faults as faults
from .clock import run_virtual as run_virtual
from .collect import (
    SessionRecord as SessionRecord,
    collect_turn as collect_turn,
    record_session as record_session,
)
from .collected_turn import (
    CallOutcome as CallOutcome,
    CollectedCall as CollectedCall,
    CollectedTurn as CollectedTurn,
)
from .conversation_log import ConversationLog as ConversationLog, LogEntry as LogEntry
from .faults import (
    FaultPlan as FaultPlan,
    FaultyConnector as FaultyConnector,
    FaultyLink as FaultyLink,
    TcpFaultProxy as TcpFaultProxy,
    faulty_connector as faulty_connector,
    serve_tcp_faults as serve_tcp_faults,
)
from .peer import (
    ScriptedPeer as ScriptedPeer,
    message as message,
    response_object as response_object,
)
from .recorded_peer import (
    RecordedPeer as RecordedPeer,
    replay_recording as replay_recording,
)
from .session_opener import SessionOpener as SessionOpener

TEST_ENDPOINT = Endpoint.compatible("ws://test.invalid/v1/realtime", api_key="test-key", proxy="")
"""An endpoint for tests whose transport ignores the endpoint."""
