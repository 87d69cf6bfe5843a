"""Hooks: what a user wants to be told of while sessions run. Declarations; sessions call them.

One rule for all of them: first the context, then what the agents SDKs pass, and last the session
event itself, so that nothing of it is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar as PlainTypeVar

from typing_extensions import TypeVar

from trio_realtime.errors import ConfigurationError
from trio_realtime.events import AgentEnd, AgentStart, Handoff, ToolCancelled, ToolEnd, ToolStart

from .contexts import AgentContext

if TYPE_CHECKING:
    from .agent import RealtimeAgent
    from .tools import FunctionTool

ContextT = TypeVar("ContextT", default=Any)


class AgentHooks(Generic[ContextT]):
    """What one agent's hooks are told. Override what you need and give an instance to the agent.

    A hook is told what has happened, after it has, in the order of the events and one at a time; it
    changes nothing of it, and delays nothing but the hooks after it. One that raises is an
    ``events.Error`` with :class:`~trio_realtime.errors.HookFailed`, and the session goes on. When
    the session ends, what had happened is still told, within ``close_timeout``; a hook that takes
    longer is cancelled. Plain functions may override these too; they must not block.

    An instance may serve several agents and sessions; ``agent`` tells them apart.
    """

    async def on_start(
        self, context: AgentContext[ContextT], agent: RealtimeAgent[ContextT], event: AgentStart
    ) -> None:
        """The agent's turn began."""

    async def on_end(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        output: str,
        event: AgentEnd,
    ) -> None:
        """A turn ended with this agent, which said ``output``; ``event.status`` tells how.

        After a handoff this is not the agent whose turn began: that one's ``on_end`` is not called.
        """

    async def on_handoff(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        source: RealtimeAgent[ContextT],
        event: Handoff,
    ) -> None:
        """The agent took over from ``source``, by a handoff or by ``update_agent``."""

    async def on_tool_start(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        tool: FunctionTool,
        event: ToolStart,
    ) -> None:
        """A tool of the agent began to run; ``event`` has the call's id and arguments."""

    async def on_tool_end(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        tool: FunctionTool | None,
        result: Any,
        event: ToolEnd,
    ) -> None:
        """A call was answered; ``result`` is what the tool returned, or the text of the answer.

        Also one that ran no tool: ``event.outcome`` says ``rejected`` or ``unknown``, and a handoff
        is a call too. ``tool`` is ``None`` where there is none.
        """

    async def on_tool_cancelled(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        event: ToolCancelled,
    ) -> None:
        """A call was cancelled, in place of ``on_tool_end``; perhaps before its tool began."""


class SessionHooks(Generic[ContextT]):
    """What a session's hooks are told, of all its agents; given as ``SessionConfig.hooks``.

    They are told before the agent's own. Everything else is as with :class:`AgentHooks`.
    """

    async def on_agent_start(
        self, context: AgentContext[ContextT], agent: RealtimeAgent[ContextT], event: AgentStart
    ) -> None:
        """An agent's turn began."""

    async def on_agent_end(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        output: str,
        event: AgentEnd,
    ) -> None:
        """A turn ended; ``agent`` said ``output``, and ``event.status`` tells how.

        After a handoff this is not the agent whose turn began; ``event.turn_id`` is the same.
        """

    async def on_handoff(
        self,
        context: AgentContext[ContextT],
        from_agent: RealtimeAgent[ContextT],
        to_agent: RealtimeAgent[ContextT],
        event: Handoff,
    ) -> None:
        """An agent took over, by a handoff or by ``update_agent``. ``context.agent`` is that one."""

    async def on_tool_start(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        tool: FunctionTool,
        event: ToolStart,
    ) -> None:
        """A tool began to run; ``event`` has the call's id and arguments."""

    async def on_tool_end(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        tool: FunctionTool | None,
        result: Any,
        event: ToolEnd,
    ) -> None:
        """A call was answered; see :meth:`AgentHooks.on_tool_end`."""

    async def on_tool_cancelled(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        event: ToolCancelled,
    ) -> None:
        """A call was cancelled; see :meth:`AgentHooks.on_tool_cancelled`."""


H = PlainTypeVar("H", AgentHooks[Any], SessionHooks[Any])


def hooks_of(kind: type[H], given: Any) -> H | None:
    """Hooks of one kind, or none.

    Raises:
        ConfigurationError: it is something else.
    """
    if given is None or isinstance(given, kind):
        return given
    if isinstance(given, type):
        raise ConfigurationError(f"hooks= takes an instance: {given.__name__}(), not the class")
    raise ConfigurationError(
        f"hooks= takes an instance of a subclass of {kind.__name__} here, not {given!r}"
    )
