"""The one task that writes to the connection.

A write that is cancelled in the middle of a frame corrupts the WebSocket. So no cancel scope encloses
this task except the one that the session cancels at its end.

While nothing waits, the queue writes a message at once, in the task that sends it, if the connection can do
so. This task then writes what the operating system has not taken.
"""

from __future__ import annotations

from typing import cast

from trio_realtime.realtime_model import ModelConnection
from trio_realtime.session.runtime import SessionRuntime
from trio_realtime.transports import DirectSender, TransportClosed

from .errors import model_failure


async def write_messages(connection: ModelConnection, runtime: SessionRuntime) -> None:
    """Send the messages of the queue until the connection is gone. The reader reports why."""
    queue = runtime.send_queue
    direct = cast("DirectSender | None", getattr(connection, "direct", None))
    queue.connection = direct
    try:
        while True:
            queued = await queue.wait_message()
            try:
                if queued.is_partly_written:
                    assert direct is not None
                    await direct.flush()
                else:
                    await connection.send(queued.message)
            except TransportClosed:
                return
            except Exception as exc:  # noqa: BLE001 - the model may be the user's
                runtime.fail(model_failure(connection, exc))
                return
            queue.mark_sent(queued)
    finally:
        # The writer of the next connection may have begun.
        if queue.connection is direct:
            queue.connection = None
