"""What the service is told of an agent: its instructions, and its tools and handoffs of the moment.

Conditions and instructions may be functions, so this is asked anew each time it is sent.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

import attrs

from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import UNSET, FunctionToolSpec, Unset

from .agent import RealtimeAgent
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
    callables: list[Offer] = [*agent.tools, *as_handoffs(agent)]
    enabled = [one for one in callables if await holds(one.is_enabled, about)]
    _check_names(agent, enabled)
    tools = tuple(one.spec() for one in enabled)
    return Description(instructions=instructions, tools=tools, voice=agent.voice)


def _check_names(agent: RealtimeAgent[Any], enabled: list[Offer]) -> None:
    names = Counter(one.name for one in enabled)
    twice = sorted(name for name, times in names.items() if times > 1)
    if twice:
        raise ConfigurationError(
            f"agent {agent.name!r} has more than one tool or handoff named {', '.join(twice)}; "
            f"rename one"
        )


async def find_offer(agent: RealtimeAgent[Any], name: str, context: Any) -> Offer | None:
    """The tool or handoff of this name, if the agent has it and it is enabled now."""
    offers: list[Offer] = [*agent.tools, *as_handoffs(agent)]
    about = AgentContext(context=context, agent=agent)
    for offer in offers:
        if offer.name == name and await holds(offer.is_enabled, about):
            return offer
    return None
