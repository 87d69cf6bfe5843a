"""From a model to a session whose settings the service has acknowledged."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import trio

from trio_realtime.agents import AgentDescription
from trio_realtime.core import UpdateSettings
from trio_realtime.errors import ConnectTimeout, RealtimeError
from trio_realtime.realtime_model import ConnectionOptions, ModelConnection, RealtimeModel
from trio_realtime.session.runtime import SessionRuntime
from trio_realtime.transports import TransportClosed
from trio_realtime.wire import Session

from .errors import handshake_error, map_connect_errors
from .reader import receive_event
from .send_queue import SendQueue

GREETING_TIMEOUT: Final = 1.0
"""Seconds to wait for the first event of the service before the settings are sent."""


@asynccontextmanager
async def open_connection(
    model: RealtimeModel, options: ConnectionOptions
) -> AsyncGenerator[ModelConnection]:
    """Connect for the duration of the block."""
    async with AsyncExitStack() as stack:
        with map_connect_errors(options.connect_timeout):
            connection = await stack.enter_async_context(model.connect(options))
        yield connection


async def perform_handshake(
    connection: ModelConnection,
    runtime: SessionRuntime,
    agent: AgentDescription,
    settings: Session,
    deadline: float,
    connect_timeout: float,
) -> None:
    """Wait for the greeting, send the settings, and wait for their acknowledgement.

    The greeting is ``session.created``, or ``session.updated`` for a session that runs already. Some
    services send nothing before they have received something, so the wait for it is short.

    Raises:
        ConnectTimeout: the service did not acknowledge the settings before the deadline.
        SettingsRejected: the service rejected a setting.
        PeerError: the service closed the connection because of the key, the model or the request.
        ConnectionLost: the connection ended for another reason.
    """
    with trio.CancelScope(deadline=deadline) as scope:
        try:
            await _exchange_settings(connection, runtime, agent, settings, deadline)
        except RealtimeError as exc:
            if runtime.last_warning is not None:
                exc.add_note(runtime.last_warning)
            raise
    if scope.cancelled_caught:
        error = runtime.core.last_error
        said = f"; its last error was: {error}" if error else ""
        raise ConnectTimeout(
            f"the service connected but did not acknowledge the session's settings within "
            f"{connect_timeout:g} s{said}"
        )


async def _exchange_settings(
    connection: ModelConnection,
    runtime: SessionRuntime,
    agent: AgentDescription,
    settings: Session,
    deadline: float,
) -> None:
    try:
        patience = min(GREETING_TIMEOUT, (deadline - trio.current_time()) / 2)
        with trio.move_on_after(patience):
            while runtime.core.session is None:
                await receive_event(connection, runtime)
        request = runtime.track_request("settings")
        runtime.feed(UpdateSettings(token=request.token, settings=settings, toolset=agent.toolset))
        await _flush(connection, runtime.send_queue)
        while not request.is_resolved:
            await receive_event(connection, runtime)
    except TransportClosed:
        raise await _reason_of_close(connection, runtime) from None
    accepted: Any = await request.wait()
    assert isinstance(accepted, Session)


async def _flush(connection: ModelConnection, queue: SendQueue) -> None:
    while queue.waiting:
        await connection.send(await queue.wait_message())
        queue.mark_sent()


async def _reason_of_close(connection: ModelConnection, runtime: SessionRuntime) -> Exception:
    """Return why the service closed the connection. An event that says so may not have been read."""
    while True:
        try:
            await receive_event(connection, runtime)
        except TransportClosed as closed:
            error = handshake_error(closed, runtime.core.last_error)
            error.__cause__ = closed
            return error
