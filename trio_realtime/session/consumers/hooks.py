"""Call the hooks of the session and of its agents when something has happened.

Two tasks share the work. One takes events from its channel as they come and never waits; the other
calls the hooks, one at a time. The memory channel between them is bounded: if hooks fall
further behind, an error is reported and later events reach no hook. Nothing else is affected.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast, get_args

import trio

from trio_realtime._nursery import OnDemandTask, StartSoon
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
from trio_realtime.session.ending import EndState
from trio_realtime.session.user_code import call_user_code, describe_exception, supervise_task

from .bus import EventBus
from .channel import EventChannel

if TYPE_CHECKING:
    from trio_realtime.agents import RealtimeAgent

logger: logging.Logger = logging.getLogger("trio_realtime.hooks")

HookEvent: TypeAlias = AgentStart | AgentEnd | Handoff | ToolStart | ToolEnd | ToolCancelled
HookResult: TypeAlias = Awaitable[None] | None


class HookRunner:
    """Calls hooks in the order of the events.

    Args:
        bus: delivers the events, and takes the errors of hooks.
        end: the end of the session.
        context: the session's ``context``.
        hooks: the session's own hooks, which run before those of the agents.
        max_waiting: the number of events that may wait for hooks.
    """

    def __init__(
        self,
        bus: EventBus,
        end: EndState,
        context: Any,
        hooks: SessionHooks[Any] | None,
        max_waiting: int,
    ) -> None:
        self._bus = bus
        self._end = end
        self._context = context
        self._hooks = hooks
        self._events: EventChannel[Any] | None = None  # once there are hooks
        self._task = OnDemandTask()
        self._max_waiting = max_waiting
        self._current = ""
        # Hooks still learn what happened before a cancellation of the user's block.
        self._scope = trio.CancelScope(shield=True)

    def observe(self, agent: RealtimeAgent[Any]) -> None:
        """Prepare for the events of an agent that becomes current.

        A session without any hooks routes no event here.
        """
        has_hooks = self._hooks is not None or agent.hooks is not None
        if has_hooks and self._events is None and not self._end.is_set:
            self._events = self._bus.open_internal_channel(get_args(HookEvent))
            self._task.start()

    def attach(self, start_soon: StartSoon) -> None:
        """Start the task of the hooks with this function, now or once there are hooks."""
        has_hooks = self._events is not None
        self._task.attach(partial(start_soon, self.run, name="hooks"), is_needed=has_hooks)

    def finish(self, deadline: float) -> None:
        """End after the events so far: the session is over. Hooks are cancelled at the deadline."""
        if self._events is not None:
            self._events.finish()
        self._scope.deadline = deadline

    async def run(self) -> None:
        """Call the hooks until the session is over and they have been called for every event."""
        events = self._events
        assert events is not None
        send, receive = trio.open_memory_channel[HookEvent](self._max_waiting)
        with receive, self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._call_hooks, receive, name="hook calls")
                await self._collect(events, send)
        waiting = send.statistics().current_buffer_used
        if self._scope.cancelled_caught and (self._current or waiting):
            logger.warning(
                "the hook %s was cancelled after close_timeout; %d later events reach no hook",
                self._current,
                waiting,
            )

    async def _collect(
        self, events: EventChannel[Any], send: trio.MemorySendChannel[HookEvent]
    ) -> None:
        with send:
            async for item in events:
                event = cast("HookEvent", item)
                if self._hooks is None and _agent_of(event).hooks is None:
                    continue
                try:
                    send.send_nowait(event)
                except trio.WouldBlock:
                    self._give_up()
                    break
        events.close()

    def _give_up(self) -> None:
        error = ConsumerTooSlow(
            f"the hook {self._current} takes too long: {self._max_waiting} events wait for it, which "
            f"is the limit. Hooks are called for those events and for no later ones. Hand slow work "
            f"to another task, or raise max_buffered_events",
            statistics={"hook": self._current, "buffered_events": self._max_waiting},
        )
        logger.error("%s", error)
        self._bus.emit(Error(error=error))

    async def _call_hooks(self, events: trio.MemoryReceiveChannel[HookEvent]) -> None:
        supervise_task(self._end)
        async for event in events:
            agent = _agent_of(event)
            about = AgentContext(context=self._context, agent=agent)
            if self._hooks is not None:
                name = f"{type(self._hooks).__name__}.on_{event.type}"
                await self._call(name, partial(_call_session, self._hooks, about, event))
            if agent.hooks is not None:
                name = f"{type(agent.hooks).__name__}.on_{event.type.removeprefix('agent_')}"
                await self._call(name, partial(_call_agent, agent.hooks, about, event))

    async def _call(self, name: str, call: Callable[[], HookResult]) -> None:
        async def run() -> None:
            await maybe_await(call())

        self._current = name
        await call_user_code(run, report=self._report_failure)
        self._current = ""

    def _report_failure(self, failure: BaseException) -> None:
        error = HookFailed(f"the hook {self._current} raised {describe_exception(failure)}")
        error.__cause__ = failure
        logger.warning("%s", error, exc_info=failure)
        self._bus.emit(Error(error=error))


def _agent_of(event: HookEvent) -> RealtimeAgent[Any]:
    return event.to_agent if isinstance(event, Handoff) else event.agent


def _call_session(
    hooks: SessionHooks[Any], about: AgentContext[Any], event: HookEvent
) -> HookResult:
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


def _call_agent(hooks: AgentHooks[Any], about: AgentContext[Any], event: HookEvent) -> HookResult:
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
