"""The one task that reads from the connection. It never waits for a consumer that does not read."""

from __future__ import annotations

from collections.abc import Callable

from trio_realtime.errors import ProtocolViolation, UserCodeError
from trio_realtime.events import Error, RawModelEvent
from trio_realtime.realtime_model import ModelConnection, WebSocketConnection
from trio_realtime.session.runtime import SessionRuntime
from trio_realtime.transports import TransportClosed
from trio_realtime.wire import FrameError, ServerEvent, WarningEvent, encode

from .errors import model_failure


async def read_events(
    connection: ModelConnection, runtime: SessionRuntime, is_current: Callable[[], bool]
) -> TransportClosed | None:
    """Feed every event to the core until the connection ends or is replaced.

    The connection may return thousands of events without a checkpoint. Consumers that only read must
    get their turn before their channels overflow.

    Args:
        connection: the connection.
        runtime: feeds the core.
        is_current: returns whether the session still uses the connection.

    Returns:
        How the connection ended; ``None`` if it was replaced, or if its model has failed.
    """
    direct = connection if isinstance(connection, WebSocketConnection) else None
    while True:
        try:
            if direct is not None and not direct.has_message:
                await _wait_message(direct)
            if not is_current():
                return None
            if direct is None or not _play_audio(direct, runtime):
                event = await receive_event(connection, runtime)
                if not is_current():
                    return None
                if event is not None:
                    runtime.feed(event)
            if runtime.bus.crowded:
                await runtime.bus.let_consumers_read()
        except TransportClosed as closed:
            return closed
        except UserCodeError as failure:
            runtime.fail(failure)
            return None


async def _wait_message(connection: WebSocketConnection) -> None:
    try:
        await connection.wait_message()
    except TransportClosed:
        raise
    except Exception as exc:
        raise model_failure(connection, exc) from exc


def _play_audio(connection: WebSocketConnection, runtime: SessionRuntime) -> bool:
    """Take the audio deltas that come next by the fast path. Returns whether there were any."""
    bus = runtime.bus
    if bus.wants_raw or not runtime.core.can_play:
        return False
    played = False
    while not bus.crowded and runtime.play(connection.peek_audio()):
        connection.skip_audio()
        played = True
    return played


async def receive_event(connection: ModelConnection, runtime: SessionRuntime) -> ServerEvent | None:
    """Receive one event, and show it to the consumers of raw events.

    Returns:
        The event; ``None`` for a message that is none.

    Raises:
        TransportClosed: the connection has ended.
        UserCodeError: a model of the user raised.
    """
    try:
        event = await connection.receive()
    except TransportClosed:
        raise
    except FrameError as exc:
        runtime.emit(Error(error=ProtocolViolation(str(exc))))
        return None
    except Exception as exc:
        raise model_failure(connection, exc) from exc
    if not isinstance(event, ServerEvent):
        kind = type(event).__name__
        raise UserCodeError(f"receive() of the realtime model returned {kind}, not a ServerEvent")
    if runtime.bus.wants_raw:
        frame = encode(event) if event.frame is None else event.frame
        runtime.emit(RawModelEvent(data=event, frame=frame))
    if isinstance(event, WarningEvent):
        runtime.last_warning = event.warning.message
    return event
