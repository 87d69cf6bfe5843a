"""The server's end of a WebSocket, which the local server and the gateway use."""

from __future__ import annotations

import trio
from trio_websocket import WebSocketRequest

from ._direct_websocket import ServerConnection as ServerConnection
from ._replayed_stream import ReplayedStream
from .keepalive import Keepalive, KeepaliveStream

__all__ = ["ServerConnection", "read_upgrade"]


async def read_upgrade(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    head: bytes,
    frames: bytes,
    *,
    message_queue_size: int,
    max_message_size: int,
) -> tuple[WebSocketRequest, Keepalive]:
    """Begin a WebSocket on a stream whose upgrade request was read already.

    Accepting the request returns a :class:`ServerConnection`. Its caller runs the tasks of the keepalive.
    Nothing more is read before that.

    Args:
        nursery: Where the reader task runs.
        stream: The byte stream.
        head: The bytes of the request.
        frames: What was received after them.
        message_queue_size: The number of messages that wait before the reader stops reading.
        max_message_size: The size of a message above which the connection ends with code 1009.
    """
    keepalive = Keepalive(masked=True)
    watched = KeepaliveStream.of(stream, keepalive)
    request = await ServerConnection.read_request(
        nursery,
        # wsproto drops what it receives together with the request.
        ReplayedStream(watched, head, keepalive.take(frames)),
        watched,
        message_queue_size=message_queue_size,
        max_message_size=max_message_size,
    )
    return request, keepalive
