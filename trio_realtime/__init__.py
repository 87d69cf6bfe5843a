"""Realtime voice agents on trio, with structured concurrency.

:func:`open_realtime_session` opens a session with an agent. The other names here are what it takes
and what it returns. Errors are in :mod:`trio_realtime.errors`, session events in
:mod:`trio_realtime.events`, history items in :mod:`trio_realtime.items`, and test doubles in
:mod:`trio_realtime.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors as errors, events as events
from ._open_session import (
    LocalServerWarning as LocalServerWarning,
    open_realtime_session as open_realtime_session,
)
from .agents import (
    AgentContext as AgentContext,
    AgentHandoff as AgentHandoff,
    AgentHooks as AgentHooks,
    BackgroundResult as BackgroundResult,
    FunctionTool as FunctionTool,
    GuardrailResult as GuardrailResult,
    HostedMcpTool as HostedMcpTool,
    McpServer as McpServer,
    McpServerCustom as McpServerCustom,
    McpServerHttp as McpServerHttp,
    McpServerStdio as McpServerStdio,
    RealtimeAgent as RealtimeAgent,
    SessionHooks as SessionHooks,
    ToolContext as ToolContext,
    ToolInputGuardrail as ToolInputGuardrail,
    ToolOutputGuardrail as ToolOutputGuardrail,
    function_tool as function_tool,
    handoff as handoff,
    input_guardrail as input_guardrail,
    output_guardrail as output_guardrail,
    tool_input_guardrail as tool_input_guardrail,
    tool_output_guardrail as tool_output_guardrail,
)
from .config import (
    InterruptionPolicy as InterruptionPolicy,
    ReconnectPolicy as ReconnectPolicy,
    SessionConfig as SessionConfig,
    UsageLimits as UsageLimits,
)
from .core import ResponseOutcome as ResponseOutcome
from .endpoints import Endpoint as Endpoint
from .errors import RealtimeError as RealtimeError
from .items import item_text as item_text
from .models import ModelEndDateWarning as ModelEndDateWarning
from .prices import PriceTable as PriceTable
from .session import (
    EventChannel as EventChannel,
    RealtimeSession as RealtimeSession,
    Response as Response,
)
from .session_end import SessionEnd as SessionEnd
from .usage import Usage as Usage
from .wire import (
    PCM24K as PCM24K,
    PCMA as PCMA,
    PCMU as PCMU,
    SemanticVad as SemanticVad,
    ServerVad as ServerVad,
    Transcription as Transcription,
)

if TYPE_CHECKING:
    from .local import serve_local as serve_local

__version__ = "0.1.0"

__all__ = [
    "AgentContext",
    "AgentHandoff",
    "AgentHooks",
    "BackgroundResult",
    "Endpoint",
    "EventChannel",
    "FunctionTool",
    "GuardrailResult",
    "HostedMcpTool",
    "InterruptionPolicy",
    "LocalServerWarning",
    "McpServer",
    "McpServerCustom",
    "McpServerHttp",
    "McpServerStdio",
    "ModelEndDateWarning",
    "PCM24K",
    "PCMA",
    "PCMU",
    "PriceTable",
    "RealtimeAgent",
    "RealtimeError",
    "RealtimeSession",
    "ReconnectPolicy",
    "Response",
    "ResponseOutcome",
    "SemanticVad",
    "ServerVad",
    "SessionConfig",
    "SessionEnd",
    "SessionHooks",
    "ToolContext",
    "ToolInputGuardrail",
    "ToolOutputGuardrail",
    "Transcription",
    "Usage",
    "UsageLimits",
    "errors",
    "events",
    "function_tool",
    "handoff",
    "input_guardrail",
    "item_text",
    "open_realtime_session",
    "output_guardrail",
    "serve_local",
    "tool_input_guardrail",
    "tool_output_guardrail",
]


def __getattr__(name: str) -> Any:
    # Most programs never need the local server, so it is imported on first use.
    if name == "serve_local":
        from .local import serve_local as function

        globals()[name] = function
        return function
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
