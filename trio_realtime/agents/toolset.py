"""What the service is told of an agent: its instructions, and its tools and handoffs of the moment.

Conditions and instructions may be functions, so this is asked anew each time it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs

from trio_realtime.wire import UNSET, ToolSpec, Unset

from .agent import RealtimeAgent, check_names
from .contexts import AgentContext, evaluate, maybe_await
from .handoffs import AgentHandoff, as_handoffs
from .tools import FunctionTool

MAX_AGENTS = 100
"""How many agents are looked at before a session begins."""

ToolOrHandoff: TypeAlias = FunctionTool | AgentHandoff[Any]
"""What the model may call."""


@attrs.frozen(kw_only=True)
class AgentDescription:
    """An agent as the service is told of it."""

    instructions: str
    tools: tuple[ToolSpec, ...]
    voice: str | Unset = UNSET


async def describe(
    agent: RealtimeAgent[Any], context: Any, borrowed: Sequence[FunctionTool] = ()
) -> AgentDescription:
    """Ask an agent what it is now.

    Args:
        agent: the agent.
        context: the session's.
        borrowed: tools that it has beside its own: those of its MCP servers.

    Raises:
        ConfigurationError: two of its tools and handoffs that are enabled have the same name.
    """
    about = AgentContext(context=context, agent=agent)
    told = agent.instructions
    instructions = await maybe_await(told(about) if callable(told) else told)
    tools = await describe_tools(agent, context, borrowed)
    return AgentDescription(instructions=instructions, tools=tools, voice=agent.voice)


async def describe_tools(
    agent: RealtimeAgent[Any], context: Any, borrowed: Sequence[FunctionTool] = ()
) -> tuple[ToolSpec, ...]:
    """The part of :func:`describe` that is about tools and handoffs."""
    about = AgentContext(context=context, agent=agent)
    offers = [*_offers(agent), *borrowed]
    enabled = [offer for offer in offers if await evaluate(offer.is_enabled, about)]
    check_names(agent.name, "tool or handoff", (offer.name for offer in enabled))
    hosted = [tool for tool in agent.hosted_tools if await evaluate(tool.is_enabled, about)]
    return (*(offer.spec() for offer in enabled), *(tool.spec() for tool in hosted))


def check_agents(first: RealtimeAgent[Any]) -> None:
    """See that an agent, and each that it can hand over to, may be described.

    A mistake in an agent that comes third is better found before the first has said anything. What
    a condition may disable is looked at when it is described.

    Raises:
        ConfigurationError: a handoff is none, or a name stands twice.
    """
    found = [first]
    # They grow as they are looked at; functions could make new ones without end.
    for agent in found:
        offers = _offers(agent)
        check_names(
            agent.name,
            "tool or handoff",
            (offer.name for offer in offers if offer.is_enabled is True),
        )
        targets = [offer.agent for offer in offers if isinstance(offer, AgentHandoff)]
        found += [one for one in targets if not any(one is known for known in found)]
        if len(found) > MAX_AGENTS:
            return


def _offers(agent: RealtimeAgent[Any]) -> list[ToolOrHandoff]:
    return [*agent.tools, *as_handoffs(agent)]


def own_names(agent: RealtimeAgent[Any]) -> set[str]:
    """The names of an agent's own tools and handoffs, also of those that are not enabled now."""
    return {offer.name for offer in _offers(agent)}


async def find_offer(
    agent: RealtimeAgent[Any], name: str, context: Any, borrowed: Sequence[FunctionTool] = ()
) -> ToolOrHandoff | None:
    """The tool or handoff of this name, if the agent has it and it is enabled now."""
    about = AgentContext(context=context, agent=agent)
    for offer in [*_offers(agent), *borrowed]:
        if offer.name == name and await evaluate(offer.is_enabled, about):
            return offer
    return None
