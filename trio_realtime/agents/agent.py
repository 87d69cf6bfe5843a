"""Who speaks: a name, instructions and tools. A declaration; sessions do the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, TypeAlias

import attrs
from typing_extensions import TypeVar

from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import UNSET, Unset

from ._validation import as_tuple
from .contexts import AgentContext
from .guardrails import InputGuardrail, OutputGuardrail, guardrails_of
from .hooks import AgentHooks, hooks_of
from .hosted_mcp import HostedMcpTool, hosted_tools_of
from .mcp import McpServer, servers_of
from .tools import FunctionTool

ContextT = TypeVar("ContextT", default=None)


Instructions: TypeAlias = str | Callable[[AgentContext[Any]], str | Awaitable[str]]
Handoffs: TypeAlias = Sequence[Any] | Callable[[], Sequence[Any]]


def _as_tools(tools: Iterable[Any]) -> tuple[FunctionTool, ...]:
    return tuple(_as_tool(tool) for tool in as_tuple(tools, "tools"))


def _as_tool(tool: Any) -> FunctionTool:
    if isinstance(tool, FunctionTool):
        return tool
    name = getattr(tool, "__name__", repr(tool))
    raise ConfigurationError(f"{name} is not a tool; decorate it with @function_tool")


def _outputs(guardrails: Iterable[Any]) -> tuple[OutputGuardrail, ...]:
    return guardrails_of(OutputGuardrail, guardrails)


def _inputs(guardrails: Iterable[Any]) -> tuple[InputGuardrail, ...]:
    return guardrails_of(InputGuardrail, guardrails)


def _check_hooks(_agent: Any, _: Any, hooks: AgentHooks[Any] | None) -> None:
    hooks_of(AgentHooks, hooks)


def _check_names(agent: RealtimeAgent[Any], _: Any, tools: tuple[FunctionTool, ...]) -> None:
    # Those that a condition may disable are looked at when the service is told of them.
    check_names(agent.name, "tool", (tool.name for tool in tools if tool.is_enabled is True))


def check_names(agent_name: str, kinds: str, names: Iterable[str]) -> None:
    """See that no name stands twice among what the model may call.

    Raises:
        ConfigurationError: one does.
    """
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ConfigurationError(
            f"agent {agent_name!r} has more than one {kinds} named {', '.join(twice)}; rename one"
        )


def _tool_names(tools: tuple[FunctionTool, ...]) -> str:
    return repr([tool.name for tool in tools])


@attrs.frozen(kw_only=True, eq=False)
class RealtimeAgent(Generic[ContextT]):
    """An agent of a realtime session.

    Args:
        name: how events and logs call it.
        instructions: what the model is told to be and to do; or a function, sync or async, that is
            asked for it with an :class:`AgentContext` whenever the agent takes over.
        tools: functions that the model may call, made with :func:`function_tool`.
        handoffs: agents that may take over, plain or made with :func:`handoff`; or a function that
            returns them, for agents that hand over to each other.
        output_guardrails: checks of what it says, made with :func:`output_guardrail`.
        input_guardrails: checks of what the user says to it, made with :func:`input_guardrail`.
        voice: the agent's voice, where the session's configuration names none. The service does not
            change voices once it has spoken.
        hooks: what is told of its turns, handoffs and tools; see :class:`AgentHooks`.
        mcp_servers: MCP servers whose tools the model may call as well; see :class:`McpServer`.
        hosted_tools: MCP servers that the service itself calls; see :class:`HostedMcpTool`.

    Raises:
        ConfigurationError: a tool is not one, or two have the same name.
    """

    name: str
    instructions: Instructions = attrs.field(default="", repr=False)
    tools: tuple[FunctionTool, ...] = attrs.field(
        default=(), converter=_as_tools, validator=_check_names, repr=_tool_names
    )
    voice: str | Unset = UNSET
    handoffs: Handoffs = attrs.field(default=(), repr=False)
    output_guardrails: tuple[OutputGuardrail, ...] = attrs.field(default=(), converter=_outputs)
    input_guardrails: tuple[InputGuardrail, ...] = attrs.field(default=(), converter=_inputs)
    hooks: AgentHooks[Any] | None = attrs.field(default=None, validator=_check_hooks, repr=False)
    mcp_servers: tuple[McpServer, ...] = attrs.field(default=(), converter=servers_of)
    hosted_tools: tuple[HostedMcpTool, ...] = attrs.field(default=(), converter=hosted_tools_of)

    def find_tool(self, name: str) -> FunctionTool | None:
        """The tool of this name, if the agent has it."""
        return next((tool for tool in self.tools if tool.name == name), None)
