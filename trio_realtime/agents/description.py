"""What the service is told of an agent: its instructions, and its tools and handoffs of the moment.

Conditions and instructions may be functions, so this is asked anew each time it is sent.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from trio_realtime.wire import UNSET, FunctionToolSpec, Unset

from .agent import RealtimeAgent, check_names
from .contexts import AgentContext, holds, settled
from .handoffs import AgentHandoff, as_handoffs
from .tools import FunctionTool

Offer: TypeAlias = FunctionTool | AgentHandoff[Any]
"""What the model may call."""


@attrs.frozen(kw_only=True)
class Description:
    """An agent as the service is told of it."""

    instructions: str
    tools: tuple[FunctionToolSpec, ...]
    voice: str | Unset = UNSET


async def describe(agent: RealtimeAgent[Any], context: Any) -> Description:
    """Ask an agent what it is now.

    Raises:
        ConfigurationError: two of its tools and handoffs that are enabled have the same name.
    """
    about = AgentContext(context=context, agent=agent)
    told = agent.instructions
    instructions = await settled(told(about) if callable(told) else told)
    enabled = [offer for offer in _offers(agent) if await holds(offer.is_enabled, about)]
    check_names(agent.name, "tool or handoff", (offer.name for offer in enabled))
    tools = tuple(offer.spec() for offer in enabled)
    return Description(instructions=instructions, tools=tools, voice=agent.voice)


def _offers(agent: RealtimeAgent[Any]) -> list[Offer]:
    return [*agent.tools, *as_handoffs(agent)]


async def find_offer(agent: RealtimeAgent[Any], name: str, context: Any) -> Offer | None:
    """The tool or handoff of this name, if the agent has it and it is enabled now."""
    about = AgentContext(context=context, agent=agent)
    for offer in _offers(agent):
        if offer.name == name and await holds(offer.is_enabled, about):
            return offer
    return None
