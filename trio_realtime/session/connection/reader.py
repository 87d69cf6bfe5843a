"""The one task that reads from the connection. It never waits for a consumer."""

from __future__ import annotations

from trio_realtime.errors import ProtocolViolation
from trio_realtime.events import Error, RawModelEvent
from trio_realtime.session.runtime import SessionRuntime
from trio_realtime.transports import Transport, TransportClosed
from trio_realtime.wire import FrameError, decode_server_event


async def read_frames(transport: Transport, runtime: SessionRuntime) -> None:
    """Feed every frame to the core until the connection ends, then end the session."""
    while True:
        try:
            frame = await transport.receive()
        except TransportClosed as closed:
            runtime.connection_ended(closed)
            return
        handle_frame(frame, runtime)


def handle_frame(frame: str | bytes, runtime: SessionRuntime) -> None:
    """Decode one frame and feed it to the core."""
    try:
        event = decode_server_event(frame)
    except FrameError as exc:
        runtime.emit(Error(error=ProtocolViolation(str(exc))))
        return
    if runtime.bus.wants_raw:
        runtime.emit(RawModelEvent(data=event, frame=frame))
    runtime.feed(event)
