"""Realtime voice agents on trio, with structured concurrency.

``open_realtime_session`` opens a session with an agent; everything else here is what it takes or
gives. Errors are in :mod:`trio_realtime.errors`, session events in :mod:`trio_realtime.events`, wire
objects in :mod:`trio_realtime.wire`, test doubles in :mod:`trio_realtime.testing`.
"""

from __future__ import annotations

from . import errors as errors, events as events
from .agents import (
    FunctionTool as FunctionTool,
    RealtimeAgent as RealtimeAgent,
    ToolContext as ToolContext,
    function_tool as function_tool,
)
from .config import SessionConfig as SessionConfig
from .core import ResponseOutcome as ResponseOutcome
from .endpoints import Endpoint as Endpoint
from .errors import RealtimeError as RealtimeError
from .front import (
    LocalServerWarning as LocalServerWarning,
    open_realtime_session as open_realtime_session,
)
from .items import item_text as item_text
from .local import serve_local as serve_local
from .session import (
    EventChannel as EventChannel,
    RealtimeSession as RealtimeSession,
    Response as Response,
)
from .usage import Usage as Usage
from .wire import (
    PCM24K as PCM24K,
    PCMA as PCMA,
    PCMU as PCMU,
    SemanticVad as SemanticVad,
    ServerVad as ServerVad,
    Transcription as Transcription,
)

__version__ = "0.1.0"

__all__ = [
    "PCM24K",
    "PCMA",
    "PCMU",
    "EventChannel",
    "Endpoint",
    "FunctionTool",
    "LocalServerWarning",
    "RealtimeAgent",
    "RealtimeError",
    "RealtimeSession",
    "Response",
    "ResponseOutcome",
    "SemanticVad",
    "ServerVad",
    "SessionConfig",
    "ToolContext",
    "Transcription",
    "Usage",
    "errors",
    "events",
    "function_tool",
    "item_text",
    "open_realtime_session",
    "serve_local",
]
