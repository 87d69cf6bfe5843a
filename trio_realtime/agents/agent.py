"""Agents: declarations of what runs in a session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, cast

import attrs
from typing_extensions import TypeVar

from trio_realtime._declarations import check_callable, explains
from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import UNSET, Unset

from ._validation import as_tuple
from .contexts import AgentContext
from .guardrails import InputGuardrail, OutputGuardrail, as_guardrails
from .hooks import AgentHooks, as_hooks
from .hosted_mcp import HostedMcpTool, as_hosted_tools
from .mcp import McpServer, as_mcp_servers
from .tools import FunctionTool

ContextT = TypeVar("ContextT", default=None)


Instructions: TypeAlias = str | Callable[[AgentContext[Any]], str | Awaitable[str]]
Prompt: TypeAlias = Mapping[str, Any]
"""A prompt stored at the service: its ``id``, and optionally ``version`` and ``variables``."""
AgentPrompt: TypeAlias = (
    Prompt | Callable[[AgentContext[Any]], Prompt | Awaitable[Prompt | None] | None]
)
Handoffs: TypeAlias = Sequence[Any] | Callable[[], Sequence[Any]]


def _as_tools(tools: Iterable[Any]) -> tuple[FunctionTool, ...]:
    return tuple(_as_tool(tool) for tool in as_tuple(tools, "tools"))


def _as_tool(tool: Any) -> FunctionTool:
    if isinstance(tool, FunctionTool):
        return tool
    name = getattr(tool, "__name__", repr(tool))
    raise ConfigurationError(f"tools: {name} is not a tool: decorate it with @function_tool")


def _as_output_guardrails(guardrails: Iterable[Any]) -> tuple[OutputGuardrail, ...]:
    return as_guardrails(OutputGuardrail, guardrails)


def _as_input_guardrails(guardrails: Iterable[Any]) -> tuple[InputGuardrail, ...]:
    return as_guardrails(InputGuardrail, guardrails)


def _check_prompt(agent: RealtimeAgent[Any], _: Any, prompt: AgentPrompt | None) -> None:
    if callable(prompt):
        check_callable(prompt, f"the prompt of agent {agent.name!r}", "context")
    else:
        check_prompt(agent.name, prompt)


def check_prompt(agent_name: str, prompt: Any) -> None:
    """Check the prompt of an agent.

    Raises:
        ConfigurationError: if it is neither a mapping with an ``id`` nor ``None``.
    """
    if prompt is None:
        return
    if not isinstance(prompt, Mapping):
        raise ConfigurationError(
            f"the prompt of agent {agent_name!r} must be a mapping such as "
            f"{{'id': 'pmpt_1'}}, got {prompt!r:.80}"
        )
    prompt_id = cast("Prompt", prompt).get("id")
    if not isinstance(prompt_id, str) or not prompt_id:
        raise ConfigurationError(
            f"the prompt of agent {agent_name!r} has no id: name a stored prompt, "
            f"such as {{'id': 'pmpt_1', 'version': '2'}}"
        )


def _check_name(_agent: Any, _: Any, name: Any) -> None:
    if not isinstance(name, str):
        raise ConfigurationError(f"the name of an agent must be a str, got {name!r:.80}")


def _check_instructions(agent: RealtimeAgent[Any], _: Any, instructions: Any) -> None:
    what = f"the instructions of agent {agent.name!r}"
    if callable(instructions):
        check_callable(instructions, what, "context")
    elif not isinstance(instructions, str):
        raise ConfigurationError(
            f"{what} must be a str, or a function that returns one, got {instructions!r:.80}"
        )


def _as_handoffs(handoffs: Handoffs) -> Handoffs:
    return handoffs if callable(handoffs) else as_tuple(handoffs, "handoffs")


def _check_handoffs(agent: RealtimeAgent[Any], _: Any, handoffs: Any) -> None:
    if callable(handoffs):
        check_callable(handoffs, f"the function for the handoffs of agent {agent.name!r}")


def _check_hooks(_agent: Any, _: Any, hooks: AgentHooks[Any] | None) -> None:
    as_hooks(AgentHooks, hooks)


def _check_tool_names(agent: RealtimeAgent[Any], _: Any, tools: tuple[FunctionTool, ...]) -> None:
    # Tools with a condition are checked when the agent's settings are sent.
    check_names(agent.name, "tool", (tool.name for tool in tools if tool.is_enabled is True))


def check_names(agent_name: str, kinds: str, names: Iterable[str]) -> None:
    """Check that the names of an agent's tools and handoffs are distinct.

    Args:
        agent_name: the agent, for the error message.
        kinds: what has the names, for the error message.
        names: the names.

    Raises:
        ConfigurationError: if a name occurs more than once.
    """
    duplicates = sorted(name for name, count in Counter(names).items() if count > 1)
    if duplicates:
        raise ConfigurationError(
            f"agent {agent_name!r} has more than one {kinds} named {', '.join(duplicates)}: "
            f"rename one"
        )


def _tool_names(tools: tuple[FunctionTool, ...]) -> str:
    return repr([tool.name for tool in tools])


_SDK_NAMES: Mapping[str, str] = {
    "handoff_description": "write handoffs=[handoff(agent, description=...)] in the agent that hands over",
    "mcp_config": "the options of an MCP server are arguments of McpServerStdio and McpServerHttp",
    "model": "the model is a setting of the session: SessionConfig(model=...)",
    "model_settings": "they are settings of the session: SessionConfig(...)",
    "output_type": "a realtime model has no structured output: let it call a tool with these fields",
    "tool_use_behavior": "a tool that needs no answer returns BackgroundResult(...)",
}
"""Arguments of the agents SDK's agents."""


@explains(_SDK_NAMES)
@attrs.frozen(kw_only=True, eq=False)
class RealtimeAgent(Generic[ContextT]):
    """An agent of a realtime session: instructions, and what the model may call.

    An agent is a declaration. It holds no state, and several sessions may use it at the same time. The
    type parameter is the type of the session's ``context``.

    Args:
        name: the agent's name in events, logs and handoffs.
        instructions: the system prompt; or a function, sync or async, that returns it. The function
            is called with an :class:`AgentContext` each time the agent takes over.
        prompt: a prompt stored at the service, as a mapping with its ``id`` and optionally ``version``
            and ``variables``; or a function like that of ``instructions`` that returns one or
            ``None``. It is used instead of the prompt of the session's configuration.
        tools: the functions that the model may call, made with :func:`function_tool`.
        voice: the agent's voice, used if the session's configuration has none. The service does not
            change the voice once it has spoken.
        handoffs: the agents that may take over, given directly or made with :func:`handoff`; or a
            function without parameters that returns them, for agents that refer to each other.
        output_guardrails: checks of what the agent says, made with :func:`output_guardrail`.
        input_guardrails: checks of what the user says to the agent, made with
            :func:`input_guardrail`.
        hooks: callbacks for the agent's turns, handoffs and tool calls; an instance of a subclass of
            :class:`AgentHooks`.
        mcp_servers: MCP servers run by the session, whose tools the model may call; see
            :class:`McpServer`.
        hosted_tools: MCP servers called by the service itself; see :class:`HostedMcpTool`.

    Raises:
        ConfigurationError: if an argument has the wrong type, or if two tools, two MCP servers or two
            hosted servers have the same name.
    """

    name: str = attrs.field(validator=_check_name)
    instructions: Instructions = attrs.field(default="", validator=_check_instructions, repr=False)
    prompt: AgentPrompt | None = attrs.field(default=None, validator=_check_prompt, repr=False)
    tools: tuple[FunctionTool, ...] = attrs.field(
        default=(), converter=_as_tools, validator=_check_tool_names, repr=_tool_names
    )
    voice: str | Unset = UNSET
    handoffs: Handoffs = attrs.field(
        default=(), converter=_as_handoffs, validator=_check_handoffs, repr=False
    )
    output_guardrails: tuple[OutputGuardrail, ...] = attrs.field(
        default=(), converter=_as_output_guardrails
    )
    input_guardrails: tuple[InputGuardrail, ...] = attrs.field(
        default=(), converter=_as_input_guardrails
    )
    hooks: AgentHooks[Any] | None = attrs.field(default=None, validator=_check_hooks, repr=False)
    mcp_servers: tuple[McpServer, ...] = attrs.field(default=(), converter=as_mcp_servers)
    hosted_tools: tuple[HostedMcpTool, ...] = attrs.field(default=(), converter=as_hosted_tools)
