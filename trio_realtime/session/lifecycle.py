"""From an agent and an endpoint to a running session, and back to nothing.

A session is two nurseries: the services' (reader and writer), which no cancellation reaches until
everything was said, and the tools', which is cancelled first. Connecting happens before either, so
that its errors are the caller's plain exceptions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import trio

from trio_realtime._nursery import open_bare_nursery
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
from trio_realtime.core import Conversation
from trio_realtime.endpoints import Endpoint, ResolvedEndpoint
from trio_realtime.errors import ConnectTimeout, InternalError, SessionClosed
from trio_realtime.transports import ConnectOptions, Connector, Transport, TransportClosed
from trio_realtime.wire import Session

from .agent_settings import agent_settings, first_settings
from .connection.errors import connect_refusal, dial_errors
from .connection.reader import read_frames, take_frame
from .connection.send_queue import SendQueue
from .connection.writer import write_frames
from .consumers.bus import BufferLimits, EventBus
from .consumers.hooks import HookRunner
from .guardrails import GuardrailRunner
from .mcp.manager import McpServers
from .runtime import SessionRuntime
from .session import RealtimeSession
from .tools.approvals import Approvals
from .tools.call import ToolServices
from .tools.runner import ToolRunner

ContextT = TypeVar("ContextT")


@asynccontextmanager
async def open_session(
    agent: RealtimeAgent[ContextT],
    *,
    endpoint: Endpoint,
    config: SessionConfig,
    context: ContextT,
    transport: Connector,
) -> AsyncGenerator[RealtimeSession[ContextT]]:
    """Connect, have the settings acknowledged, run the block, close. See ``open_realtime_session``."""
    check_agents(agent)
    declared = as_hooks(SessionHooks, config.hooks)
    async with open_bare_nursery(InternalError) as nursery:
        servers = McpServers(nursery, config.close_timeout)
        await servers.start(agent)
        async with _opened(
            agent, endpoint, config, context, transport, servers, declared
        ) as session:
            yield session


@asynccontextmanager
async def _opened(
    agent: RealtimeAgent[ContextT],
    endpoint: Endpoint,
    config: SessionConfig,
    context: ContextT,
    transport: Connector,
    servers: McpServers,
    hooks_declared: SessionHooks[Any] | None,
) -> AsyncGenerator[RealtimeSession[ContextT]]:
    deadline = trio.current_time() + config.connect_timeout
    described: AgentDescription | None = None
    with trio.move_on_at(deadline):
        described = await describe(agent, context, servers.offered(agent))
    if described is None:
        raise ConnectTimeout(f"the agent was not described within {config.connect_timeout:g} s")
    dial = await _make_dial(endpoint, config, deadline)
    async with _connected(transport, dial) as connection, open_bare_nursery(InternalError) as tools:
        shell = _make_shell(agent, config, context, tools, servers)
        hooks = HookRunner(shell.hub, context, hooks_declared, config.max_buffered_events)
        session = RealtimeSession(
            shell=shell,
            config=config,
            context=context,
            shut_down=_Shutdown(shell, connection, hooks, servers, config.close_timeout),
        )
        with trio.CancelScope(deadline=deadline) as handshake:
            await _introduce(connection, shell, first_settings(described, config))
        if handshake.cancelled_caught:
            said = shell.core.last_error
            raise ConnectTimeout(
                f"the service connected but did not acknowledge the session's settings within "
                f"{config.connect_timeout:g} s{f'; it said: {said}' if said else ''}"
            )
        async with _served(connection, shell, hooks):
            servers.attach(shell, context)
            try:
                yield session
            finally:
                # Bounded by itself; also where another task has begun it.
                with trio.CancelScope(shield=True):
                    await session.aclose()
            if shell.loss is not None and not shell.loss.was_told:
                raise shell.loss.again()


async def _make_dial(endpoint: Endpoint, config: SessionConfig, deadline: float) -> ConnectOptions:
    resolved: ResolvedEndpoint | None = None
    with trio.move_on_at(deadline):
        resolved = await endpoint.resolve(config.model)
    if resolved is None:
        raise ConnectTimeout(f"the endpoint's key did not come within {config.connect_timeout:g} s")
    return ConnectOptions(
        url=resolved.url,
        headers=resolved.headers,
        subprotocols=resolved.subprotocols,
        connect_timeout=max(deadline - trio.current_time(), 0.001),
        close_timeout=config.close_timeout / 2,
        max_message_size=config.max_message_size,
    )


@asynccontextmanager
async def _connected(connector: Connector, dial: ConnectOptions) -> AsyncGenerator[Transport]:
    async with AsyncExitStack() as stack:
        with dial_errors(dial.connect_timeout):
            connection = await stack.enter_async_context(connector(dial))
        yield connection


def _make_shell(
    agent: RealtimeAgent[Any],
    config: SessionConfig,
    context: Any,
    nursery: trio.Nursery,
    servers: McpServers,
) -> SessionRuntime:
    limits = BufferLimits(
        max_events=config.max_buffered_events,
        max_audio=config.max_buffered_audio,
        overflow=config.overflow,
    )

    async def take_over(successor: RealtimeAgent[Any], call_id: str | None) -> None:
        await servers.start(successor)
        async with servers.settings_lock:
            described = await describe(successor, context, servers.offered(successor))
            await trio.lowlevel.checkpoint_if_cancelled()
            if call_id is not None:
                # Settings that are on their way cannot be called back: from here on it is one thing.
                core.keep_call(call_id)
            await shell.change_settings(agent_settings(described, config), successor)

    core = Conversation(
        agent,
        barge_in=config.barge_in,
        guardrail_debounce=config.guardrail_debounce,
        audio_gate=config.guardrail_audio_gate,
        history_update_interval=config.history_update_interval,
        max_history_audio=config.max_history_audio,
    )
    # Until the service names a format, and for one that never does.
    core.playback.bytes_per_ms = config.output_format.bytes_per_ms
    shell = SessionRuntime(
        core,
        EventBus(limits),
        SendQueue(config.max_outgoing_audio),
        ToolRunner(
            nursery, ToolServices(context, Approvals(), take_over, servers, config.format_rejection)
        ),
        GuardrailRunner(
            nursery,
            context,
            as_guardrails(OutputGuardrail, config.output_guardrails),
            as_guardrails(InputGuardrail, config.input_guardrails),
        ),
    )
    return shell


async def _introduce(connection: Transport, shell: SessionRuntime, settings: Session) -> None:
    """Wait for the service's greeting, send the settings, wait until they are acknowledged."""
    try:
        while shell.core.session is None:
            take_frame(await connection.receive(), shell)
        token, effects = shell.core.update_settings(settings)
        acknowledged = shell.expect(token)
        shell.apply(effects)
        await _flush(connection, shell.outbox)
        while not acknowledged.is_settled:
            take_frame(await connection.receive(), shell)
    except TransportClosed as closed:
        raise connect_refusal(closed, shell.core.last_error) from closed
    await acknowledged.wait()


async def _flush(connection: Transport, outbox: SendQueue) -> None:
    while outbox.waiting:
        await connection.send(await outbox.wait_frame())
        outbox.written()


@asynccontextmanager
async def _served(
    connection: Transport, shell: SessionRuntime, hooks: HookRunner
) -> AsyncGenerator[None]:
    """Reader and writer run to the end of the block, and no cancellation reaches them before.

    The hooks' tasks end by themselves, once all was told or at the time that they were given.
    """
    writing, reading = trio.CancelScope(shield=True), trio.CancelScope(shield=True)
    async with open_bare_nursery(InternalError) as nursery:
        nursery.start_soon(_serve, writing, write_frames, connection, shell.outbox, name="writer")
        nursery.start_soon(_serve, reading, read_frames, connection, shell, name="reader")
        nursery.start_soon(hooks.run, name="hooks")
        try:
            yield
        finally:
            writing.cancel(reason="the session is over")
            reading.cancel(reason="the session is over")


async def _serve(
    scope: trio.CancelScope, service: Callable[..., Awaitable[None]], *args: Any
) -> None:
    with scope:
        await service(*args)


class _Shutdown:
    """Ends a session once; whoever else asks waits for the first."""

    def __init__(
        self,
        shell: SessionRuntime,
        connection: Transport,
        hooks: HookRunner,
        servers: McpServers,
        close_timeout: float,
    ) -> None:
        self._shell = shell
        self._hooks = hooks
        self._servers = servers
        self._connection = connection
        self._close_timeout = close_timeout
        self._ended: trio.Event | None = None

    async def __call__(self) -> None:
        if self._ended is not None:
            await self._ended.wait()
            return
        self._ended = trio.Event()
        closing = trio.current_time()
        try:
            with trio.CancelScope(shield=True):
                await self._shell.tools.finish()
            closing = trio.current_time()
            self._servers.stop()
            with trio.move_on_after(self._close_timeout, shield=True):
                await self._end_in_order()
                await self._servers.wait_stopped()
        finally:
            self._shell.finish(None, SessionClosed("the session was closed"))
            self._shell.hub.finish_own()
            self._hooks.end_at(closing + self._close_timeout)
            self._ended.set()

    async def _end_in_order(self) -> None:
        # Half the time is the close handshake's; a stuck tool must not cost the goodbye.
        with trio.move_on_after(self._close_timeout / 4):
            await self._shell.tools.wait_others_ended()
        with trio.move_on_after(self._close_timeout / 4):
            await self._shell.outbox.wait_empty()
        self._shell.finish(None, SessionClosed("the session was closed"))
        await self._connection.aclose()
