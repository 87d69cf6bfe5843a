"""What the user declares: agents, their tools and handoffs. Imports types, and nothing above."""

from __future__ import annotations

from .agent import RealtimeAgent as RealtimeAgent
from .arguments import (
    InvalidArguments as InvalidArguments,
    decode_arguments as decode_arguments,
)
from .contexts import (
    AgentContext as AgentContext,
    EarlyAnswerCallback as EarlyAnswerCallback,
    ToolContext as ToolContext,
    evaluate as evaluate,
    maybe_await as maybe_await,
)
from .guardrails import (
    FeedbackFormatter as FeedbackFormatter,
    Guardrail as Guardrail,
    GuardrailResult as GuardrailResult,
    InputGuardrail as InputGuardrail,
    OutputGuardrail as OutputGuardrail,
    as_guardrails as as_guardrails,
    input_guardrail as input_guardrail,
    output_guardrail as output_guardrail,
)
from .handoffs import AgentHandoff as AgentHandoff, handoff as handoff
from .hooks import (
    AgentHooks as AgentHooks,
    SessionHooks as SessionHooks,
    as_hooks as as_hooks,
)
from .hosted_mcp import HostedMcpTool as HostedMcpTool
from .mcp import (
    McpServer as McpServer,
    McpServerCustom as McpServerCustom,
    McpServerHttp as McpServerHttp,
    McpServerStdio as McpServerStdio,
    disambiguate_names as disambiguate_names,
    tool_name as tool_name,
)
from .tool_guardrails import (
    ToolInputGuardrail as ToolInputGuardrail,
    ToolOutputGuardrail as ToolOutputGuardrail,
    tool_input_guardrail as tool_input_guardrail,
    tool_output_guardrail as tool_output_guardrail,
)
from .tool_result import BackgroundResult as BackgroundResult, result_text as result_text
from .tools import (
    FunctionTool as FunctionTool,
    RejectionFormatter as RejectionFormatter,
    function_tool as function_tool,
)
from .toolset import (
    AgentDescription as AgentDescription,
    ToolOrHandoff as ToolOrHandoff,
    Toolset as Toolset,
    build_toolset as build_toolset,
    check_agent as check_agent,
    check_agents as check_agents,
    declared_names as declared_names,
    describe as describe,
)
