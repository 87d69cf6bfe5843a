"""Tells the hooks of the session and of its agents what has happened: a task beside the others.

Two tasks, in fact. One takes the events from the hub as they come and waits for nobody; the other
calls the hooks, one at a time. What waits between them is bounded: hooks that fall behind further
are given up, loudly, and nothing else notices.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast, get_args

import trio

from trio_realtime.agents import AgentContext, AgentHooks, SessionHooks, maybe_await
from trio_realtime.errors import ConsumerTooSlow, HookFailed
from trio_realtime.events import (
    AgentEnd,
    AgentStart,
    Error,
    Handoff,
    ToolCancelled,
    ToolEnd,
    ToolStart,
)
from trio_realtime.session.connection.errors import unheard
from trio_realtime.session.user_code import told_apart, words

from .bus import EventBus

if TYPE_CHECKING:
    from trio_realtime.agents import RealtimeAgent

logger: logging.Logger = logging.getLogger("trio_realtime.hooks")

HookEvent: TypeAlias = AgentStart | AgentEnd | Handoff | ToolStart | ToolEnd | ToolCancelled
Told: TypeAlias = Awaitable[None] | None


class HookRunner:
    """See the module.

    Args:
        hub: where the events come from, and errors go to.
        context: the session's ``context``.
        hooks: the session's own, besides its agents'.
        max_waiting: events that may wait for hooks.
    """

    def __init__(
        self, hub: EventBus, context: Any, hooks: SessionHooks[Any] | None, max_waiting: int
    ) -> None:
        self._hub = hub
        self._context = context
        self._hooks = hooks
        self._events = hub.open_own_channel(get_args(HookEvent))
        self._max_waiting = max_waiting
        self._current = ""
        # What had happened before a cancellation of the block is still told after it.
        self._scope = trio.CancelScope(shield=True)

    def end_at(self, deadline: float) -> None:
        """The session is over: cancel what is still being told at this time."""
        self._scope.deadline = deadline

    async def run(self) -> None:
        """Tell the hooks, until the session is over and they were told of all of it."""
        unheard.set(True)
        inbox, waiting = trio.open_memory_channel[HookEvent](self._max_waiting)
        with waiting, self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell_all, waiting, name="hooks")
                await self._collect(inbox)
        if self._scope.cancelled_caught:
            logger.warning(
                "close_timeout was over before the hook %s was; %d later events are not told",
                self._current,
                inbox.statistics().current_buffer_used,
            )

    async def _collect(self, inbox: trio.MemorySendChannel[HookEvent]) -> None:
        with inbox:
            async for event in self._events:
                if not self._is_hooked(told := cast("HookEvent", event)):
                    continue
                try:
                    inbox.send_nowait(told)
                except trio.WouldBlock:
                    self._give_up()
                    break
        self._events.close()

    def _is_hooked(self, event: HookEvent) -> bool:
        return self._hooks is not None or _agent_of(event).hooks is not None

    def _give_up(self) -> None:
        error = ConsumerTooSlow(
            f"the hook {self._current} takes too long: {self._max_waiting} events wait for it, which"
            f" is all that may. Those are still told, later ones are not. Hand slow work to another"
            f" task, or raise max_buffered_events",
            statistics={"hook": self._current, "buffered_events": self._max_waiting},
        )
        logger.error("%s", error)
        self._hub.emit(Error(error=error))

    async def _tell_all(self, waiting: trio.MemoryReceiveChannel[HookEvent]) -> None:
        async for event in waiting:
            agent = _agent_of(event)
            about = AgentContext(context=self._context, agent=agent)
            if self._hooks is not None:
                name = f"{type(self._hooks).__name__}.on_{event.type}"
                await self._tell(name, partial(_call_session, self._hooks, about, event))
            if agent.hooks is not None:
                name = f"{type(agent.hooks).__name__}.on_{event.type.removeprefix('agent_')}"
                await self._tell(name, partial(_call_agent, agent.hooks, about, event))

    async def _tell(self, name: str, call: Callable[[], Told]) -> None:
        self._current = name
        try:
            # A plain function may override a hook, whatever its declared type says.
            await maybe_await(call())
        except trio.Cancelled:
            raise
        except BaseException as exc:  # a hook's failure is reported and ends nothing
            failure, end = told_apart(exc)
            if failure is None:
                raise
            self._failed(failure)
            if end is not None:
                raise end from None

    def _failed(self, exc: BaseException) -> None:
        error = HookFailed(f"the hook {self._current} raised {words(exc)}")
        error.__cause__ = exc
        logger.warning("%s", error, exc_info=exc)
        self._hub.emit(Error(error=error))


def _agent_of(event: HookEvent) -> RealtimeAgent[Any]:
    return event.to_agent if isinstance(event, Handoff) else event.agent


def _call_session(hooks: SessionHooks[Any], about: AgentContext[Any], event: HookEvent) -> Told:
    match event:
        case AgentStart(agent=agent):
            return hooks.on_agent_start(about, agent, event)
        case AgentEnd(agent=agent):
            return hooks.on_agent_end(about, agent, event.output, event)
        case Handoff():
            return hooks.on_handoff(about, event.from_agent, event.to_agent, event)
        case ToolStart(agent=agent):
            return hooks.on_tool_start(about, agent, event.tool, event)
        case ToolEnd(agent=agent):
            return hooks.on_tool_end(about, agent, event.tool, event.output, event)
        case ToolCancelled(agent=agent):
            return hooks.on_tool_cancelled(about, agent, event)


def _call_agent(hooks: AgentHooks[Any], about: AgentContext[Any], event: HookEvent) -> Told:
    match event:
        case AgentStart(agent=agent):
            return hooks.on_start(about, agent, event)
        case AgentEnd(agent=agent):
            return hooks.on_end(about, agent, event.output, event)
        case Handoff(to_agent=agent):
            return hooks.on_handoff(about, agent, event.from_agent, event)
        case ToolStart(agent=agent):
            return hooks.on_tool_start(about, agent, event.tool, event)
        case ToolEnd(agent=agent):
            return hooks.on_tool_end(about, agent, event.tool, event.output, event)
        case ToolCancelled(agent=agent):
            return hooks.on_tool_cancelled(about, agent, event)
