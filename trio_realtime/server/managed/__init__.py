"""Managed sessions: an agent spec, a service, stores and clients joined for one call."""

from __future__ import annotations

from .client_tools import client_tool as client_tool
from .event_log import (
    EventLog as EventLog,
    EventReader as EventReader,
    EventsMissed as EventsMissed,
)
from .run_end import (
    PartFailure as PartFailure,
    RunEnd as RunEnd,
    RunEndReason as RunEndReason,
    StopReason as StopReason,
)
from .session import ManagedSession as ManagedSession, RunState as RunState
from .stores import SessionStores as SessionStores
