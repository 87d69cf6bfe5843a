"""The description of an agent that is sent to the service: instructions, voice and current tools.

Instructions and conditions may be functions, so an agent is described again each time its settings
are sent. The resulting :class:`Toolset` is frozen: it says what the model may call under the settings
that it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import UNSET, ToolSpec, Unset

from .agent import Prompt, RealtimeAgent, check_names, check_prompt
from .contexts import AgentContext, evaluate, maybe_await
from .handoffs import AgentHandoff, as_handoffs
from .hosted_mcp import HostedMcpTool
from .tools import FunctionTool

MAX_AGENTS = 100
"""The number of agents that are checked before a session begins."""

ToolOrHandoff: TypeAlias = FunctionTool | AgentHandoff[Any]
"""What the model may call."""


@attrs.frozen(kw_only=True, eq=False)
class Toolset:
    """The tools, handoffs and hosted MCP servers that were declared to the service, by name.

    Attributes:
        tools: the tools and handoffs by the name that the model calls.
        hosted: the hosted MCP servers by label.
        specs: the declarations of all of them, as they are sent to the service.
    """

    tools: Mapping[str, ToolOrHandoff]
    hosted: Mapping[str, HostedMcpTool]
    specs: tuple[ToolSpec, ...]


@attrs.frozen(kw_only=True)
class AgentDescription:
    """An agent with its conditions and instructions evaluated, ready to be sent to the service."""

    agent: RealtimeAgent[Any]
    instructions: str
    toolset: Toolset
    voice: str | Unset = UNSET
    prompt: Prompt | None = None


async def describe(
    agent: RealtimeAgent[Any], context: Any, mcp_tools: Sequence[FunctionTool] = ()
) -> AgentDescription:
    """Evaluate an agent's instructions and conditions.

    Args:
        agent: the agent.
        context: the session's context.
        mcp_tools: the tools of the agent's MCP servers.

    Raises:
        ConfigurationError: two enabled tools or handoffs have the same name, or the agent's function
            returned something other than a prompt.
    """
    about = AgentContext(context=context, agent=agent)
    instructions = agent.instructions
    if callable(instructions):
        instructions = await maybe_await(instructions(about))
    prompt = agent.prompt
    if callable(prompt):
        prompt = await maybe_await(prompt(about))
        check_prompt(agent.name, prompt)
    toolset = await build_toolset(agent, context, mcp_tools)
    return AgentDescription(
        agent=agent,
        instructions=instructions,
        toolset=toolset,
        voice=agent.voice,
        prompt=prompt,
    )


async def build_toolset(
    agent: RealtimeAgent[Any], context: Any, mcp_tools: Sequence[FunctionTool] = ()
) -> Toolset:
    """Evaluate which tools, handoffs and hosted MCP servers are enabled.

    Raises:
        ConfigurationError: two enabled tools or handoffs have the same name.
    """
    about = AgentContext(context=context, agent=agent)
    tools: dict[str, ToolOrHandoff] = {}
    hosted: dict[str, HostedMcpTool] = {}
    specs: list[ToolSpec] = []
    duplicates: list[str] = []
    handoffs = as_handoffs(agent) if agent.handoffs else ()
    declared: tuple[ToolOrHandoff, ...] = (*agent.tools, *handoffs, *mcp_tools)
    for tool in declared:
        if tool.is_enabled is True or await evaluate(tool.is_enabled, about):
            if tool.name in tools:
                duplicates.append(tool.name)
            tools[tool.name] = tool
            specs.append(tool.spec())
    if duplicates:
        check_names(agent.name, "tool or handoff", (*tools, *duplicates))
    for server in agent.hosted_tools:
        if server.is_enabled is True or await evaluate(server.is_enabled, about):
            hosted[server.server_label] = server
            specs.append(server.spec())
    return Toolset(tools=tools, hosted=hosted, specs=tuple(specs))


def check_agent(agent: Any) -> None:
    """Check that an object is an agent.

    Raises:
        ConfigurationError: it is anything else.
    """
    if isinstance(agent, RealtimeAgent):
        return
    module = type(agent).__module__
    if type(agent).__name__ in ("Agent", "RealtimeAgent"):
        given = f"one of {module}: import RealtimeAgent from trio_realtime"
    else:
        given = f"{agent!r:.80}"
    raise ConfigurationError(f"expected an instance of RealtimeAgent, got {given}")


def check_agents(first: RealtimeAgent[Any]) -> None:
    """Check an agent and every agent that it can hand over to, before the session begins.

    Tools and handoffs with a condition are checked when the agent is described.

    Raises:
        ConfigurationError: it is no agent, a handoff is not valid, or a name occurs twice.
    """
    check_agent(first)
    found = [first]
    # The list grows during the loop. Handoff functions could create agents without end.
    for agent in found:
        declared = _declared(agent)
        check_names(
            agent.name,
            "tool or handoff",
            (tool.name for tool in declared if tool.is_enabled is True),
        )
        targets = [tool.agent for tool in declared if isinstance(tool, AgentHandoff)]
        found += [one for one in targets if not any(one is known for known in found)]
        if len(found) > MAX_AGENTS:
            return


def _declared(agent: RealtimeAgent[Any]) -> list[ToolOrHandoff]:
    return [*agent.tools, *as_handoffs(agent)] if agent.handoffs else [*agent.tools]


def declared_names(agent: RealtimeAgent[Any]) -> set[str]:
    """Return the names of an agent's own tools and handoffs, enabled or not."""
    return {tool.name for tool in _declared(agent)}
