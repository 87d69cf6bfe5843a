"""From a model to a session whose settings the service has acknowledged."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NoReturn

import trio

from trio_realtime.agents import AgentDescription
from trio_realtime.core import Replay, UpdateSettings
from trio_realtime.errors import ConnectTimeout, RealtimeError, UsageError
from trio_realtime.realtime_model import ConnectionOptions, ModelConnection, RealtimeModel
from trio_realtime.session.runtime import SessionRuntime
from trio_realtime.transports import TransportClosed
from trio_realtime.wire import ClientEvent, ConversationItemCreate, Session

from .errors import handshake_error, map_connect_errors, model_failure
from .reader import receive_event
from .send_queue import SendQueue

DIAL_MARGIN: Final = 0.1
"""Seconds after the deadline at which a model that ignores it is cancelled."""

GREETING_TIMEOUT: Final = 1.0
"""Seconds to wait for the first event of the service before the settings are sent."""


@asynccontextmanager
async def open_connection(
    model: RealtimeModel, options: ConnectionOptions
) -> AsyncGenerator[ModelConnection]:
    """Connect for the duration of the block.

    Raises:
        ConnectTimeout: the model did not connect before the deadline of the options.
        RealtimeError: it could not connect.
    """
    # The scope encloses the whole block, because scopes cannot overlap the nurseries of the model.
    # A model that keeps the deadline itself says more about what was slow.
    with trio.CancelScope(deadline=options.deadline + DIAL_MARGIN) as dialing:
        async with AsyncExitStack() as stack:
            with map_connect_errors(options.connect_timeout):
                connection = await stack.enter_async_context(model.connect(options))
            dialing.deadline = math.inf
            yield connection
    if dialing.cancelled_caught:
        raise ConnectTimeout(f"no connection to the service within {options.connect_timeout:g} s")


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
                await _receive(connection, runtime)
        request = runtime.track_request("settings")
        runtime.feed(UpdateSettings(token=request.token, settings=settings, toolset=agent.toolset))
        await _flush(connection, runtime.send_queue)
        while not request.is_resolved:
            await _receive(connection, runtime)
    except TransportClosed:
        raise await _reason_of_close(connection, runtime) from None
    accepted: Any = await request.wait()
    assert isinstance(accepted, Session)


async def _receive(connection: ModelConnection, runtime: SessionRuntime) -> None:
    event = await receive_event(connection, runtime)
    if event is not None:
        runtime.feed(event)


async def _flush(connection: ModelConnection, queue: SendQueue) -> None:
    while queue.waiting:
        queued = await queue.wait_message()
        await connection.send(queued.message)
        queue.mark_sent(queued)


async def _reason_of_close(connection: ModelConnection, runtime: SessionRuntime) -> Exception:
    """Return why the service closed the connection. An event that says so may not have been read."""
    while True:
        try:
            await _receive(connection, runtime)
        except TransportClosed as closed:
            error = handshake_error(closed, runtime.core.last_error)
            error.__cause__ = closed
            return error


async def replay_conversation(
    connection: ModelConnection,
    runtime: SessionRuntime,
    replay: Replay,
    timeout: float,
    update: Sequence[ClientEvent] | None = None,
) -> None:
    """Teach a connection the conversation, and return when it has acknowledged everything.

    The core does not learn of these events: the conversation may still use another connection.

    Args:
        connection: the new connection.
        runtime: encodes events.
        replay: what to send.
        timeout: seconds that the service may take for its next answer. A long conversation takes as long
            as it needs.
        update: events that bring the connection up to date after the replay; ``None`` to begin it.

    Raises:
        ConnectTimeout: the service did not answer in time.
        SettingsRejected: the service rejected the settings.
        PeerError: the service closed the connection because of the key, the model or the request.
        ConnectionLost: the connection ended for another reason.
    """
    with trio.move_on_after(timeout) as scope:
        try:
            if update is None:
                with trio.move_on_after(min(GREETING_TIMEOUT, timeout / 2)):
                    while replay.session is None:
                        await _receive_for(replay, connection, runtime)
            first = replay.begin() if update is None else update
            await _send(replay, connection, runtime, first)
            answers = replay.answers
            while not replay.is_complete:
                await _receive_for(replay, connection, runtime)
                if replay.answers > answers:
                    answers = replay.answers
                    scope.deadline = trio.current_time() + timeout
        except TransportClosed as closed:
            raise handshake_error(closed, replay.last_error) from closed
    if scope.cancelled_caught:
        raise ConnectTimeout("the service did not acknowledge the conversation in time")


async def _receive_for(
    replay: Replay, connection: ModelConnection, runtime: SessionRuntime
) -> None:
    event = await receive_event(connection, runtime)
    if event is not None:
        await _send(replay, connection, runtime, replay.handle(event))


async def keep_receiving(
    replay: Replay, connection: ModelConnection, runtime: SessionRuntime
) -> NoReturn:
    """Receive events of a connection that knows the conversation and is not used yet.

    Raises:
        ConnectionLost: the connection ended.
        PeerError: the service closed it because of the key, the model or the request.
    """
    try:
        while True:
            await _receive_for(replay, connection, runtime)
    except TransportClosed as closed:
        raise handshake_error(closed, replay.last_error) from closed


async def _send(
    replay: Replay,
    connection: ModelConnection,
    runtime: SessionRuntime,
    events: Sequence[ClientEvent],
) -> None:
    waiting = deque(events)
    while waiting:
        event = waiting.popleft()
        try:
            await connection.send(runtime.encode(event))
        except UsageError:
            if not isinstance(event, ConversationItemCreate):
                raise
            # Its dialect cannot express an item that an earlier connection has reported.
            waiting.extend(replay.leave_out(event))
        except TransportClosed:
            raise
        except Exception as exc:
            raise model_failure(connection, exc) from exc
