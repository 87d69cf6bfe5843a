"""The one task that writes to the connection.

A write that is cancelled in mid-frame would corrupt the WebSocket for all that follows. So nobody's
cancel scope ever encloses this task but the one that the session cancels when it is done.
"""

from __future__ import annotations

from trio_realtime.transports import Transport, TransportClosed

from .send_queue import SendQueue


async def write_frames(transport: Transport, outbox: SendQueue) -> None:
    """Write what the outbox holds until the connection is gone. What ended it, the reader tells."""
    while True:
        frame = await outbox.wait_frame()
        try:
            await transport.send(frame)
        except TransportClosed:
            return
        outbox.written()
