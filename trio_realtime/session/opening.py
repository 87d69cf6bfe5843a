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

from trio_realtime.agents import (
    Description,
    InputGuardrail,
    OutputGuardrail,
    RealtimeAgent,
    describe,
    guardrails_of,
)
from trio_realtime.concurrency import open_bare_nursery
from trio_realtime.config import SessionConfig
from trio_realtime.core import Conversation
from trio_realtime.endpoints import Endpoint, ResolvedEndpoint
from trio_realtime.errors import ConnectTimeout, InternalError, SessionClosed
from trio_realtime.transports import Connector, Dial, Transport, TransportClosed
from trio_realtime.wire import Session

from .approvals import Approvals
from .calls import Desk
from .failures import connect_refusal, dial_errors
from .guardrails import GuardrailRunner
from .hub import BufferLimits, EventHub
from .outbox import Outbox
from .reader import read_frames, take_frame
from .session import RealtimeSession
from .settings import agent_settings, first_settings
from .shell import Shell
from .tools import ToolRunner
from .writer import write_frames

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
    deadline = trio.current_time() + config.connect_timeout
    described: Description | None = None
    with trio.move_on_at(deadline):
        described = await describe(agent, context)
    if described is None:
        raise ConnectTimeout(f"the agent was not described within {config.connect_timeout:g} s")
    dial = await _make_dial(endpoint, config, deadline)
    async with _connected(transport, dial) as connection, open_bare_nursery(InternalError) as tools:
        shell = _make_shell(agent, config, context, tools)
        session = RealtimeSession(
            shell=shell,
            config=config,
            context=context,
            shut_down=_ShutDown(shell, connection, config.close_timeout),
        )
        with trio.CancelScope(deadline=deadline) as handshake:
            await _introduce(connection, shell, first_settings(described, config))
        if handshake.cancelled_caught:
            said = shell.core.last_error
            raise ConnectTimeout(
                f"the service connected but did not acknowledge the session's settings within "
                f"{config.connect_timeout:g} s{f'; it said: {said}' if said else ''}"
            )
        async with _served(connection, shell):
            try:
                yield session
            finally:
                await session.aclose()
            if shell.loss is not None and not shell.loss.was_told:
                raise shell.loss.again()


async def _make_dial(endpoint: Endpoint, config: SessionConfig, deadline: float) -> Dial:
    resolved: ResolvedEndpoint | None = None
    with trio.move_on_at(deadline):
        resolved = await endpoint.resolve(config.model)
    if resolved is None:
        raise ConnectTimeout(f"the endpoint's key did not come within {config.connect_timeout:g} s")
    return Dial(
        url=resolved.url,
        headers=resolved.headers,
        subprotocols=resolved.subprotocols,
        connect_timeout=max(deadline - trio.current_time(), 0.001),
        close_timeout=config.close_timeout / 2,
        max_message_size=config.max_message_size,
    )


@asynccontextmanager
async def _connected(connector: Connector, dial: Dial) -> AsyncGenerator[Transport]:
    async with AsyncExitStack() as stack:
        with dial_errors(dial.connect_timeout):
            connection = await stack.enter_async_context(connector(dial))
        yield connection


def _make_shell(
    agent: RealtimeAgent[Any], config: SessionConfig, context: Any, nursery: trio.Nursery
) -> Shell:
    limits = BufferLimits(
        max_events=config.max_buffered_events,
        max_audio=config.max_buffered_audio,
        overflow=config.overflow,
    )

    async def take_over(successor: RealtimeAgent[Any]) -> None:
        settings = agent_settings(await describe(successor, context), config)
        await shell.change_settings(settings, successor)

    core = Conversation(
        agent,
        barge_in=config.barge_in,
        guardrail_debounce=config.guardrail_debounce,
        history_interval=config.history_interval,
    )
    # Until the service names a format, and for one that never does.
    core.playback.bytes_per_ms = config.output_format.bytes_per_ms
    shell = Shell(
        core,
        EventHub(limits),
        Outbox(config.max_outgoing_audio),
        ToolRunner(nursery, Desk(context, Approvals(), take_over)),
        GuardrailRunner(
            nursery,
            context,
            guardrails_of(OutputGuardrail, config.output_guardrails),
            guardrails_of(InputGuardrail, config.input_guardrails),
        ),
    )
    return shell


async def _introduce(connection: Transport, shell: Shell, settings: Session) -> None:
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


async def _flush(connection: Transport, outbox: Outbox) -> None:
    while outbox.waiting:
        await connection.send(await outbox.wait_frame())
        outbox.written()


@asynccontextmanager
async def _served(connection: Transport, shell: Shell) -> AsyncGenerator[None]:
    """Reader and writer run to the end of the block, and no cancellation reaches them before."""
    writing, reading = trio.CancelScope(shield=True), trio.CancelScope(shield=True)
    async with open_bare_nursery(InternalError) as nursery:
        nursery.start_soon(_serve, writing, write_frames, connection, shell.outbox, name="writer")
        nursery.start_soon(_serve, reading, read_frames, connection, shell, name="reader")
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


class _ShutDown:
    """Ends a session once; whoever else asks waits for the first."""

    def __init__(self, shell: Shell, connection: Transport, close_timeout: float) -> None:
        self._shell = shell
        self._connection = connection
        self._close_timeout = close_timeout
        self._ended: trio.Event | None = None

    async def __call__(self) -> None:
        if self._ended is not None:
            await self._ended.wait()
            return
        self._ended = trio.Event()
        try:
            with trio.CancelScope(shield=True):
                await self._shell.tools.finish()
            with trio.move_on_after(self._close_timeout, shield=True):
                await self._end_in_order()
        finally:
            self._shell.finish(None, SessionClosed("the session was closed"))
            self._ended.set()

    async def _end_in_order(self) -> None:
        # Half the time is the close handshake's; a stuck tool must not cost the goodbye.
        with trio.move_on_after(self._close_timeout / 4):
            await self._shell.tools.wait_others_ended()
        with trio.move_on_after(self._close_timeout / 4):
            await self._shell.outbox.wait_empty()
        self._shell.finish(None, SessionClosed("the session was closed"))
        await self._connection.aclose()
