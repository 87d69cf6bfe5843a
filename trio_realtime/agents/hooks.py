"""Hooks: methods that sessions call after something has happened.

All hooks follow one rule for their parameters: first the context, then the parameters of the agents
SDKs' hooks, and last the session event, which has all details.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar as PlainTypeVar

from typing_extensions import TypeVar

from trio_realtime._declarations import check_overrides
from trio_realtime.errors import ConfigurationError
from trio_realtime.events import AgentEnd, AgentStart, Handoff, ToolCancelled, ToolEnd, ToolStart

from .contexts import AgentContext

if TYPE_CHECKING:
    from .agent import RealtimeAgent
    from .tools import FunctionTool

ContextT = TypeVar("ContextT", default=Any)


class AgentHooks(Generic[ContextT]):
    """Hooks of one agent. Override the methods you need and pass an instance to the agent.

    Hooks run after the fact, one at a time and in the order of the events, in a task of their own. They
    cannot change what has happened, and a slow hook delays only the hooks after it. If a hook raises,
    the session emits an ``events.Error`` with :class:`~trio_realtime.errors.HookFailed` and continues.
    When the session ends, the hooks of earlier events still run, for up to ``close_timeout`` seconds;
    then they are cancelled.

    Methods may be overridden by async or plain functions. Plain functions run in the session's thread
    and must not block.

    One instance may serve several agents and sessions; the ``agent`` parameter distinguishes them.
    The type parameter is the type of the session's ``context``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_hooks(cls)

    async def on_start(
        self, context: AgentContext[ContextT], agent: RealtimeAgent[ContextT], event: AgentStart
    ) -> None:
        """Called when the agent begins a turn."""

    async def on_end(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        output: str,
        event: AgentEnd,
    ) -> None:
        """Called when a turn ends with this agent.

        After a handoff, only the agent that ends the turn is called, not the agent that began it.

        Args:
            context: the session's context and the agent.
            agent: the agent that ended the turn.
            output: the text or transcript of what the agent said.
            event: the session event; ``event.status`` says how the turn ended.
        """

    async def on_handoff(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        source: RealtimeAgent[ContextT],
        event: Handoff,
    ) -> None:
        """Called when the agent takes over from ``source``, by a handoff or ``update_agent``."""

    async def on_tool_start(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        tool: FunctionTool,
        event: ToolStart,
    ) -> None:
        """Called when a tool of the agent starts; ``event`` has the call's id and arguments."""

    async def on_tool_end(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        tool: FunctionTool | None,
        result: Any,
        event: ToolEnd,
    ) -> None:
        """Called when a call has been answered, including a call that ran no tool.

        No tool runs if the call was rejected, if its name is unknown, or if it was a handoff.

        Args:
            context: the session's context and the agent.
            agent: the agent that made the call.
            tool: the tool; ``None`` for a handoff and for an unknown name.
            result: the value that the tool returned; for a handoff, the agent that takes over; for a
                call that did not complete, the text that the model receives.
            event: the session event; ``event.outcome`` says how the call ended.
        """

    async def on_tool_cancelled(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        event: ToolCancelled,
    ) -> None:
        """Called instead of ``on_tool_end`` when a call is cancelled, perhaps before its tool starts."""


class SessionHooks(Generic[ContextT]):
    """Hooks of a whole session, called for all of its agents. Pass an instance as ``SessionConfig.hooks``.

    For each event they are called before the agent's own hooks. Otherwise they behave like
    :class:`AgentHooks`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_hooks(cls)

    async def on_agent_start(
        self, context: AgentContext[ContextT], agent: RealtimeAgent[ContextT], event: AgentStart
    ) -> None:
        """Called when an agent begins a turn."""

    async def on_agent_end(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        output: str,
        event: AgentEnd,
    ) -> None:
        """Called when a turn ends; the parameters are those of :meth:`AgentHooks.on_end`.

        After a handoff, ``agent`` is the agent that ends the turn, not the agent that began it;
        ``event.turn_id`` is the same for both.
        """

    async def on_handoff(
        self,
        context: AgentContext[ContextT],
        from_agent: RealtimeAgent[ContextT],
        to_agent: RealtimeAgent[ContextT],
        event: Handoff,
    ) -> None:
        """Called when an agent takes over, by a handoff or ``update_agent``.

        ``context.agent`` is ``to_agent``.
        """

    async def on_tool_start(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        tool: FunctionTool,
        event: ToolStart,
    ) -> None:
        """Called when a tool starts; ``event`` has the call's id and arguments."""

    async def on_tool_end(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        tool: FunctionTool | None,
        result: Any,
        event: ToolEnd,
    ) -> None:
        """Called when a call has been answered; see :meth:`AgentHooks.on_tool_end`."""

    async def on_tool_cancelled(
        self,
        context: AgentContext[ContextT],
        agent: RealtimeAgent[ContextT],
        event: ToolCancelled,
    ) -> None:
        """Called when a call is cancelled; see :meth:`AgentHooks.on_tool_cancelled`."""


def _check_hooks(cls: type) -> None:
    """Check the hooks that a class overrides. It may be of both kinds.

    Raises:
        ConfigurationError: a method is no hook, or has other parameters than the hook.
    """
    kinds: tuple[type[Any], ...] = (AgentHooks, SessionHooks)
    check_overrides(cls, tuple(kind for kind in kinds if kind in cls.__mro__), "on_")


HooksT = PlainTypeVar("HooksT", AgentHooks[Any], SessionHooks[Any])


def as_hooks(kind: type[HooksT], hooks: Any) -> HooksT | None:
    """Return ``hooks`` if they are of the right kind, or ``None`` if there are none.

    Raises:
        ConfigurationError: if ``hooks`` is anything else.
    """
    if hooks is None or isinstance(hooks, kind):
        return hooks
    if isinstance(hooks, type):
        raise ConfigurationError(
            f"hooks= takes an instance, not a class: pass {hooks.__name__}() instead"
        )
    raise ConfigurationError(
        f"hooks= takes an instance of a subclass of {kind.__name__} here, got {hooks!r}"
    )
