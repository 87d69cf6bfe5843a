"""Receive HTTP responses with h11, whose exceptions may quote credentials and are therefore dropped."""

from __future__ import annotations

import h11
import trio

__all__ = ["next_event", "receive"]


def next_event(http: h11.Connection) -> object:
    """Return the next event of h11; ``None`` if the peer broke HTTP."""
    try:
        return http.next_event()
    except h11.RemoteProtocolError:
        return None


async def receive(stream: trio.abc.Stream) -> bytes:
    """Return data, and nothing at the end of the stream or after a reset."""
    try:
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        await trio.lowlevel.checkpoint()
        return b""
