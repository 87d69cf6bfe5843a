"""From an agent and an endpoint to a running session, and back.

The session is a nursery with five named tasks: guardrails, tools, deadlines, limits and hooks. Around it is the
nursery of the connections, in which each connection has a nursery of its own with a reader and a writer. No
cancellation reaches the connections before the session has said goodbye. The first connection is made before
the session's tasks start, so its errors are the caller's plain exceptions. MCP servers start before the
connection and have a nursery around it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import attrs
import trio

from trio_realtime._nursery import open_bare_nursery, start_soon_in_this_context
from trio_realtime.agents import (
    AgentDescription,
    InputGuardrail,
    OutputGuardrail,
    RealtimeAgent,
    SessionHooks,
    as_guardrails,
    as_hooks,
    check_agents,
    describe,
)
from trio_realtime.config import SessionConfig
from trio_realtime.core import Conversation, LimitSettings
from trio_realtime.errors import (
    ConfigurationError,
    ConnectTimeout,
    InternalError,
    UsageError,
)
from trio_realtime.events import HistoryUpdated, SessionWarning
from trio_realtime.items import HistoryItem
from trio_realtime.realtime_model import ConnectionOptions, ModelConnection, RealtimeModel
from trio_realtime.wire import Session, SessionUpdate

from .agent_settings import AgentSwitcher, first_settings
from .connection.connections import SessionConnections
from .connection.handshake import perform_handshake
from .connection.send_queue import SendQueue
from .consumers.bus import EventBus
from .consumers.channel import BufferLimits
from .consumers.hooks import HookRunner
from .ending import CLOSED, EndCause, EndState, block_ended, copy_exception
from .guardrails import GuardrailRunner
from .initial_history import check_sendable, create_initial_history, initial_items
from .limits import end_at_limit
from .mcp.manager import McpServers
from .run_guard import RunGuard
from .runtime import SessionRuntime
from .session import RealtimeSession
from .tools.approvals import Approvals
from .tools.call_services import ToolServices
from .tools.runner import ToolRunner
from .tools.slots import CallSlots
from .tracing import warn_about_unnamed_trace

ContextT = TypeVar("ContextT")


@asynccontextmanager
async def open_session(
    agent: RealtimeAgent[ContextT],
    *,
    model: RealtimeModel,
    config: SessionConfig,
    context: ContextT,
    joins_call: bool = False,
    history: Sequence[HistoryItem] = (),
) -> AsyncGenerator[RealtimeSession[ContextT]]:
    """Open a session for the duration of the block; see :func:`~trio_realtime.open_realtime_session`."""
    check_agents(agent)
    warn_about_unnamed_trace(config.tracing)
    items = initial_items(history)
    hooks = as_hooks(SessionHooks, config.hooks)
    async with open_bare_nursery(InternalError) as nursery:
        servers = McpServers(nursery, config.close_timeout)
        await servers.start(agent)
        deadline = trio.current_time() + config.connect_timeout
        described = await _describe_in_time(agent, context, servers, config, deadline)
        options = ConnectionOptions(
            model=config.model,
            connect_timeout=config.connect_timeout,
            deadline=deadline,
            close_timeout=config.close_timeout / 2,
            max_message_size=config.max_message_size,
            ping_interval=config.ping_interval,
            ping_timeout=config.ping_timeout,
        )
        runtime = _make_runtime(model, described, config, context)
        settings = first_settings(described, config, joins_call=joins_call)
        _check_settings(runtime, settings)
        check_sendable(runtime, items)
        connections = SessionConnections(
            model, runtime, options, config.reconnect, is_replaceable=not joins_call
        )
        hook_runner = HookRunner(
            runtime.bus, runtime.end, context, hooks, config.max_buffered_events
        )
        hook_runner.observe(agent)
        services = ToolServices(
            runtime=runtime,
            context=context,
            approvals=Approvals(runtime.tools.slots, config.approval_timeout),
            switcher=AgentSwitcher(runtime, servers, hook_runner, context, config, described),
            max_output=config.max_tool_output,
            format_rejection=config.format_rejection,
        )
        shutdown = _Shutdown(runtime, connections, hook_runner, servers, config.close_timeout)
        session = RealtimeSession(
            runtime=runtime,
            services=services,
            config=config,
            context=context,
            connections=connections,
            shut_down=shutdown,
        )
        runtime.emit(HistoryUpdated(read=runtime.core.history.snapshot))

        async def prepare(connection: ModelConnection) -> None:
            await perform_handshake(
                connection, runtime, described, settings, deadline, config.connect_timeout
            )

        async with connections.running(prepare):
            runtime.end.opened_at = trio.current_time()
            enforce_limits = None
            if runtime.core.has_limits:
                enforce_limits = partial(end_at_limit, runtime, shutdown, config.limit_grace)
            tasks = _SessionTasks(runtime, services, hook_runner, enforce_limits)
            async with tasks.running():
                servers.attach(runtime, context)
                cause = CLOSED
                try:
                    await create_initial_history(
                        runtime, session.events, items, deadline, config.connect_timeout
                    )
                    yield session
                except BaseException as exc:
                    cause = block_ended(exc)
                    raise
                finally:
                    # Bounded, and also right where another task has begun the shutdown.
                    with trio.CancelScope(shield=True):
                        await shutdown(cause)
                if runtime.end.loss is not None and not runtime.end.delivered:
                    raise copy_exception(runtime.end.loss)


async def _describe_in_time(
    agent: RealtimeAgent[Any],
    context: Any,
    servers: McpServers,
    config: SessionConfig,
    deadline: float,
) -> AgentDescription:
    described: AgentDescription | None = None
    with trio.move_on_at(deadline):
        described = await describe(agent, context, servers.offered(agent))
    if described is None:
        raise ConnectTimeout(
            f"the agent's instructions and conditions took longer than {config.connect_timeout:g} s"
        )
    return described


def _check_settings(runtime: SessionRuntime, settings: Session) -> None:
    try:
        runtime.encode(SessionUpdate(session=settings))
    except UsageError as exc:
        raise ConfigurationError(str(exc)) from None


def _make_runtime(
    model: RealtimeModel, agent: AgentDescription, config: SessionConfig, context: Any
) -> SessionRuntime:
    limits = BufferLimits(
        max_events=config.max_buffered_events,
        max_audio=config.max_buffered_audio,
        max_bytes=config.max_buffered_bytes,
        overflow=config.overflow,
    )
    guardrails = GuardrailRunner(
        context,
        as_guardrails(OutputGuardrail, config.output_guardrails),
        as_guardrails(InputGuardrail, config.input_guardrails),
        config.format_guardrail_feedback,
    )
    core = Conversation(
        agent.agent,
        agent.toolset,
        interruption=config.interruption,
        guardrail_debounce=config.guardrail_debounce,
        audio_gate=config.guardrail_audio_gate,
        history_update_interval=config.history_update_interval,
        max_history_audio=config.max_history_audio,
        request_timeout=math.inf if config.request_timeout is None else config.request_timeout,
        bytes_per_ms=config.output_format.bytes_per_ms,
        max_speech=0.0 if config.reconnect is None else config.reconnect.max_speech,
        max_audio_while_away=(
            0.0 if config.reconnect is None else config.reconnect.max_audio_while_away
        ),
        is_guarded=guardrails.is_guarded,
        limits=LimitSettings(
            idle_timeout=math.inf if config.idle_timeout is None else config.idle_timeout,
            max_duration=math.inf if config.max_duration is None else config.max_duration,
            usage=config.limits,
            grace=config.limit_grace,
        ),
        max_audio=config.max_buffered_audio,
    )
    end, guard = EndState(), RunGuard()
    bus = EventBus(limits, end, guard.new_check)

    def report_stall(max_latency: float) -> None:
        if not end.is_set:
            bus.emit(
                SessionWarning(
                    message=f"the connection takes audio too slowly: audio of the user that waits for "
                    f"{max_latency:g} s is dropped (max_audio_latency)",
                    code="input_audio_dropped",
                )
            )

    return SessionRuntime(
        model,
        core,
        end,
        guard,
        bus,
        SendQueue(
            end,
            max_audio=config.max_outgoing_audio,
            max_text=config.max_outgoing_text,
            max_latency=math.inf if config.max_audio_latency is None else config.max_audio_latency,
            bytes_per_ms=config.input_format.bytes_per_ms,
            report_stall=report_stall,
        ),
        ToolRunner(end, CallSlots(config.max_concurrent_calls)),
        guardrails,
    )


@attrs.frozen
class _SessionTasks:
    """The tasks of a session that do not belong to a connection."""

    runtime: SessionRuntime
    services: ToolServices
    hooks: HookRunner
    enforce_limits: Callable[[], Awaitable[None]] | None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the tasks for the duration of the block. Most of them start once there is something to do.

        The hooks' task ends by itself, after the last event or at the deadline of the shutdown.
        """
        runtime = self.runtime
        checking, calling, watching, limiting = (trio.CancelScope() for _ in range(4))
        async with open_bare_nursery(InternalError) as nursery:
            start_soon = partial(start_soon_in_this_context(nursery), _run_in_scope)
            runtime.guardrails.attach(
                partial(start_soon, checking, runtime.guardrails.run, runtime, name="guardrails")
            )
            runtime.tools.attach(
                partial(start_soon, calling, runtime.tools.run, self.services, name="tools")
            )
            runtime.attach(partial(start_soon, watching, runtime.watch_deadlines, name="deadlines"))
            if self.enforce_limits is not None:
                start_soon(limiting, self.enforce_limits, name="limits")
            self.hooks.attach(start_soon_in_this_context(nursery))
            try:
                yield
            finally:
                runtime.guardrails.stop_receiving()
                runtime.tools.stop_receiving()
                runtime.stop_watching()
                for scope in (checking, calling, watching, limiting):
                    scope.cancel(reason="the session is over")


async def _run_in_scope(
    scope: trio.CancelScope, task: Callable[..., Awaitable[None]], *args: Any
) -> None:
    with scope:
        await task(*args)


class _Shutdown:
    """Ends a session, once. Every later caller waits for the first.

    First the tools stop, then the queued frames are written, then the connection is closed. All of this
    takes ``close_timeout`` at most, apart from tools that shield themselves or asked for time.
    """

    def __init__(
        self,
        runtime: SessionRuntime,
        connections: SessionConnections,
        hooks: HookRunner,
        servers: McpServers,
        close_timeout: float,
    ) -> None:
        self._runtime = runtime
        self._connections = connections
        self._hooks = hooks
        self._servers = servers
        self._close_timeout = close_timeout
        self._finished: trio.Event | None = None

    async def __call__(self, cause: EndCause = CLOSED) -> None:
        if self._finished is not None:
            await self._finished.wait()
            return
        self._finished = trio.Event()
        self._runtime.end.expected = cause
        began = trio.current_time()
        try:
            with trio.CancelScope(shield=True):
                await self._runtime.tools.finish()
            began = trio.current_time()
            self._servers.stop()
            with trio.move_on_after(self._close_timeout, shield=True):
                await self._close_in_order(cause)
                await self._servers.wait_stopped()
        finally:
            self._runtime.finish(cause)
            self._hooks.finish(began + self._close_timeout)
            self._finished.set()

    async def _close_in_order(self, cause: EndCause) -> None:
        # Half of the time is for the close handshake: a stuck tool must not prevent it.
        with trio.move_on_after(self._close_timeout / 4):
            await self._runtime.tools.wait_all_but_current()
        with trio.move_on_after(self._close_timeout / 4):
            await self._runtime.send_queue.wait_empty()
        self._runtime.finish(cause)
        await self._connections.aclose()
