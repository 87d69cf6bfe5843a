"""From a resolved endpoint to a session whose settings the service has acknowledged."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import trio

from trio_realtime.agents import AgentDescription
from trio_realtime.config import SessionConfig
from trio_realtime.core import UpdateSettings
from trio_realtime.endpoints import Endpoint, ResolvedEndpoint
from trio_realtime.errors import ConnectTimeout
from trio_realtime.session.runtime import SessionRuntime
from trio_realtime.transports import ConnectOptions, Connector, Transport, TransportClosed
from trio_realtime.wire import Session

from .errors import handshake_error, map_connect_errors
from .reader import handle_frame
from .send_queue import SendQueue


async def resolve_endpoint(
    endpoint: Endpoint, config: SessionConfig, deadline: float
) -> ConnectOptions:
    """Ask the endpoint for its URL and key.

    Raises:
        ConnectTimeout: the key did not arrive before the deadline.
    """
    resolved: ResolvedEndpoint | None = None
    with trio.move_on_at(deadline):
        resolved = await endpoint.resolve(config.model)
    if resolved is None:
        raise ConnectTimeout(
            f"the endpoint's key did not arrive within {config.connect_timeout:g} s"
        )
    return ConnectOptions(
        url=resolved.url,
        headers=resolved.headers,
        subprotocols=resolved.subprotocols,
        connect_timeout=max(deadline - trio.current_time(), 0.001),
        close_timeout=config.close_timeout / 2,
        max_message_size=config.max_message_size,
    )


@asynccontextmanager
async def open_connection(
    connector: Connector, options: ConnectOptions, connect_timeout: float
) -> AsyncGenerator[Transport]:
    """Connect for the duration of the block. Errors name the configured ``connect_timeout``."""
    async with AsyncExitStack() as stack:
        with map_connect_errors(connect_timeout):
            transport = await stack.enter_async_context(connector(options))
        yield transport


async def perform_handshake(
    transport: Transport,
    runtime: SessionRuntime,
    agent: AgentDescription,
    settings: Session,
    deadline: float,
    connect_timeout: float,
) -> None:
    """Wait for ``session.created``, send the settings, and wait for their acknowledgement.

    Raises:
        ConnectTimeout: the service did not acknowledge the settings before the deadline.
        SettingsRejected: the service rejected a setting.
        PeerError: the service closed the connection because of the key, the model or the request.
        ConnectionLost: the connection ended for another reason.
    """
    with trio.CancelScope(deadline=deadline) as scope:
        await _exchange_settings(transport, runtime, agent, settings)
    if scope.cancelled_caught:
        error = runtime.core.last_error
        said = f"; its last error was: {error}" if error else ""
        raise ConnectTimeout(
            f"the service connected but did not acknowledge the session's settings within "
            f"{connect_timeout:g} s{said}"
        )


async def _exchange_settings(
    transport: Transport, runtime: SessionRuntime, agent: AgentDescription, settings: Session
) -> None:
    try:
        while runtime.core.session is None:
            handle_frame(await transport.receive(), runtime)
        request = runtime.track_request("settings")
        runtime.feed(UpdateSettings(token=request.token, settings=settings, toolset=agent.toolset))
        await _flush(transport, runtime.send_queue)
        while not request.is_resolved:
            handle_frame(await transport.receive(), runtime)
    except TransportClosed as closed:
        raise handshake_error(closed, runtime.core.last_error) from closed
    accepted: Any = await request.wait()
    assert isinstance(accepted, Session)


async def _flush(transport: Transport, queue: SendQueue) -> None:
    while queue.waiting:
        await transport.send(await queue.wait_frame())
        queue.mark_sent()
