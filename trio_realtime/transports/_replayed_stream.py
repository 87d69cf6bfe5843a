"""A byte stream that first returns bytes which were received earlier."""

from __future__ import annotations

from typing import Protocol

import trio

__all__ = ["ReplayedStream"]


class CarriesBytes(Protocol):
    """What a WebSocket needs of a byte stream."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive data; see :meth:`trio.abc.ReceiveStream.receive_some`."""
        ...

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send data; see :meth:`trio.abc.SendStream.send_all`."""
        ...

    async def aclose(self) -> None:
        """Close the stream."""
        ...


class ReplayedStream:
    """A byte stream that first returns bytes that were received earlier.

    Args:
        stream: the stream.
        received: the bytes. Each of them is received by itself.
    """

    def __init__(self, stream: CarriesBytes, *received: bytes) -> None:
        self._stream = stream
        self._received = [piece for piece in received if piece]

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive data; see :meth:`trio.abc.ReceiveStream.receive_some`."""
        if not self._received:
            return await self._stream.receive_some(max_bytes)
        await trio.lowlevel.checkpoint()
        data = self._received.pop(0)
        if max_bytes is not None and len(data) > max_bytes:
            self._received.insert(0, data[max_bytes:])
            data = data[:max_bytes]
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send data; see :meth:`trio.abc.SendStream.send_all`."""
        await self._stream.send_all(data)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
