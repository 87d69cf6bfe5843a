"""Streams that first return what was received earlier."""

from __future__ import annotations

import trio.testing

from trio_realtime.transports._replayed_stream import ReplayedStream


async def test_a_replayed_stream_continues_with_the_stream() -> None:
    client, server = trio.testing.memory_stream_pair()
    stream = ReplayedStream(server, b"abc", b"", b"xy")
    assert await stream.receive_some(2) == b"ab"
    assert await stream.receive_some() == b"c"
    assert await stream.receive_some() == b"xy"
    await client.send_all(b"d")
    assert await stream.receive_some() == b"d"
    await stream.send_all(b"e")
    assert await client.receive_some() == b"e"
    await stream.aclose()
    assert await client.receive_some() == b""
