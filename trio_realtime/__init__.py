"""Realtime voice agents on trio, with structured concurrency.

``open_realtime_session`` opens a session with an agent; everything else here is what it takes or
gives. Errors are in :mod:`trio_realtime.errors`, session events in :mod:`trio_realtime.events`, wire
objects in :mod:`trio_realtime.wire`, test doubles in :mod:`trio_realtime.testing`.

Names are imported when they are first used, so that ``trio_realtime.wire`` and
``trio_realtime.core`` can be had without trio, and an import costs what is used of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors, events as events
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

_ROOMS = {
    "AgentContext": "agents",
    "AgentHandoff": "agents",
    "AgentHooks": "agents",
    "BackgroundResult": "agents",
    "EventChannel": "session",
    "Endpoint": "endpoints",
    "FunctionTool": "agents",
    "GuardrailResult": "agents",
    "LocalServerWarning": "front",
    "McpServer": "agents",
    "McpServerCustom": "agents",
    "McpServerHttp": "agents",
    "McpServerStdio": "agents",
    "HostedMcpTool": "agents",
    "PCM24K": "wire",
    "PCMA": "wire",
    "PCMU": "wire",
    "RealtimeAgent": "agents",
    "RealtimeError": "errors",
    "RealtimeSession": "session",
    "Response": "session",
    "ResponseOutcome": "core",
    "SemanticVad": "wire",
    "ServerVad": "wire",
    "SessionConfig": "config",
    "SessionHooks": "agents",
    "ToolContext": "agents",
    "ToolInputGuardrail": "agents",
    "ToolOutputGuardrail": "agents",
    "Transcription": "wire",
    "Usage": "usage",
    "function_tool": "agents",
    "handoff": "agents",
    "input_guardrail": "agents",
    "output_guardrail": "agents",
    "item_text": "items",
    "open_realtime_session": "front",
    "serve_local": "local",
    "tool_input_guardrail": "agents",
    "tool_output_guardrail": "agents",
}
"""In which room each public name lives. The imports above say the same to type checkers."""

__all__ = [
    "PCM24K",
    "PCMA",
    "PCMU",
    "AgentContext",
    "AgentHandoff",
    "AgentHooks",
    "BackgroundResult",
    "Endpoint",
    "EventChannel",
    "FunctionTool",
    "GuardrailResult",
    "LocalServerWarning",
    "McpServer",
    "McpServerCustom",
    "McpServerHttp",
    "McpServerStdio",
    "HostedMcpTool",
    "RealtimeAgent",
    "RealtimeError",
    "RealtimeSession",
    "Response",
    "ResponseOutcome",
    "SemanticVad",
    "ServerVad",
    "SessionConfig",
    "SessionHooks",
    "ToolContext",
    "ToolInputGuardrail",
    "ToolOutputGuardrail",
    "Transcription",
    "Usage",
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
    if name in ("errors", "events"):
        return import_module(f".{name}", __name__)
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{room}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
