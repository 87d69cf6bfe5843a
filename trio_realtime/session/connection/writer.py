"""The one task that writes to the connection.

A write that is cancelled in the middle of a frame corrupts the WebSocket. So no cancel scope encloses
this task except the one that the session cancels at its end.
"""

from __future__ import annotations

from trio_realtime.transports import Transport, TransportClosed

from .send_queue import SendQueue


async def write_frames(transport: Transport, queue: SendQueue) -> None:
    """Write the frames of the queue until the connection is gone. The reader reports why."""
    while True:
        frame = await queue.wait_frame()
        try:
            await transport.send(frame)
        except TransportClosed:
            return
        queue.mark_sent()
