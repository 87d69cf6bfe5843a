"""Receive HTTP responses with h11, whose exceptions may quote credentials and are therefore dropped."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

import h11
import trio

__all__ = ["ReceivesSome", "next_event", "receive"]


class ReceivesSome(Protocol):
    """What is read from a stream."""

    def receive_some(self, max_bytes: int | None = None, /) -> Awaitable[bytes | bytearray]:
        """Receive data; see :meth:`trio.abc.ReceiveStream.receive_some`."""
        ...


def next_event(http: h11.Connection) -> object:
    """Return the next event of h11; ``None`` if the peer broke HTTP."""
    try:
        return http.next_event()
    except h11.RemoteProtocolError:
        return None


async def receive(stream: ReceivesSome) -> bytes:
    """Return data, and nothing at the end of the stream or after a reset."""
    try:
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        await trio.lowlevel.checkpoint()
        return b""
