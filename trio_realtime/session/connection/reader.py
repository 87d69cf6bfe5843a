"""The one task that reads from the connection. It always reads and never waits for a consumer."""

from __future__ import annotations

import trio

from trio_realtime.errors import ProtocolViolation
from trio_realtime.events import Error, RawModelEvent
from trio_realtime.session.runtime import SessionRuntime
from trio_realtime.transports import Transport, TransportClosed
from trio_realtime.wire import FrameError, decode_server_event


async def read_frames(transport: Transport, shell: SessionRuntime) -> None:
    """Carry each frame through the core until the connection ends, then end the session."""
    while True:
        try:
            frame = await transport.receive()
        except TransportClosed as closed:
            shell.connection_ended(closed)
            return
        take_frame(frame, shell)


def take_frame(frame: str | bytes, shell: SessionRuntime) -> None:
    """One frame: decoded once, through the core, and its effects carried out."""
    try:
        event = decode_server_event(frame)
    except FrameError as exc:
        shell.hub.emit(Error(error=ProtocolViolation(str(exc))))
        return
    if shell.hub.wants_raw:
        shell.hub.emit(RawModelEvent(data=event, frame=frame))
    shell.apply(shell.core.receive(event, trio.current_time()))
