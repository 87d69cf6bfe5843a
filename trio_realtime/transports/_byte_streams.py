"""Read and write the socket of a stream with fewer steps than :class:`trio.SocketStream` takes.

A :class:`ByteStream` is what a WebSocket reads from and writes to: a :class:`PlainSocket` where that is
possible, and an :class:`OtherStream` elsewhere.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final, Protocol, Self, final

import attrs
import trio

from ._streams import closed_on_error

__all__ = ["ByteStream", "OtherStream", "PlainSocket", "WRITE_SIZE", "byte_stream_of"]

_READ_SIZE: Final = 64 * 1024
WRITE_SIZE: Final = 16 * 1024
"""Bytes written at once, so that progress on a slow link shows. TLS splits writes at this size too."""


class ByteStream(Protocol):
    """A connection that carries bytes."""

    @property
    def is_direct(self) -> bool:
        """Whether :meth:`write_now` may be called."""
        ...

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive data; ``b""`` is the end. Cancellation loses nothing.

        Raises:
            trio.BrokenResourceError: The connection was lost.
            trio.ClosedResourceError: The stream was closed.
        """
        ...

    async def write(self, data: bytes | memoryview) -> int:
        """Wait until a part of the data can be written, write it, and return its size.

        Raises:
            trio.BrokenResourceError: The connection was lost.
            trio.ClosedResourceError: The stream was closed.
        """
        ...

    def write_now(self, data: bytes) -> int:
        """Write as much as the operating system takes, and return how much that is.

        Raises:
            OSError: It takes nothing (:exc:`BlockingIOError`), or the connection was lost.
        """
        ...

    def send_eof(self) -> None:
        """Report the end of this direction to the peer, where that is possible."""
        ...

    async def aclose(self) -> None:
        """Close the stream at once."""
        ...


def byte_stream_of(stream: trio.abc.Stream) -> ByteStream:
    """Return the fastest way to read and write a stream."""
    return PlainSocket.of(stream) or OtherStream(stream)


@final
@attrs.define(eq=False)
class PlainSocket:
    """The socket of a stream without TLS.

    Args:
        stream: The stream.
    """

    _stream: trio.SocketStream

    @classmethod
    def of(cls, stream: trio.abc.Stream) -> Self | None:
        """Return the socket of a stream; ``None`` for a stream that is more than a socket."""
        # Elsewhere, a socket is no file descriptor.
        if os.name != "posix" or type(stream) is not trio.SocketStream:
            return None
        return cls(stream)

    @property
    def is_direct(self) -> bool:
        """Whether :meth:`write_now` may be called."""
        return True

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive data; see :class:`ByteStream`."""
        socket = self._stream.socket
        while True:
            if socket.fileno() < 0:
                await trio.lowlevel.checkpoint_if_cancelled()
                raise trio.ClosedResourceError("the stream was closed")
            # Waiting first saves a system call that would nearly always fail.
            await trio.lowlevel.wait_readable(socket)
            try:
                return os.read(socket.fileno(), max_bytes or _READ_SIZE)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise trio.BrokenResourceError(f"the connection was lost: {exc}") from exc

    async def write(self, data: bytes | memoryview) -> int:
        """Write a part of the data; see :class:`ByteStream`. If this is cancelled, it has written nothing."""
        socket = self._stream.socket
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            if socket.fileno() < 0:
                raise trio.ClosedResourceError("the stream was closed")
            try:
                # A small buffer has space long before the system reports it as writable, and TCP is slow to
                # send what a large write leaves in it.
                size = os.write(socket.fileno(), data[:WRITE_SIZE])
            except BlockingIOError:
                await trio.lowlevel.wait_writable(socket)
            except OSError as exc:
                raise trio.BrokenResourceError(f"the connection was lost: {exc}") from exc
            else:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return size

    def write_now(self, data: bytes) -> int:
        """Write without waiting; see :class:`ByteStream`."""
        return os.write(self._stream.socket.fileno(), data)

    def send_eof(self) -> None:
        """Report the end of this direction to the peer."""
        with suppress(OSError):
            self._stream.socket.shutdown(trio.socket.SHUT_WR)

    async def aclose(self) -> None:
        """Close the socket."""
        await self._stream.aclose()


@final
@attrs.define(eq=False)
class OtherStream:
    """A stream of trio that is more than a socket, for example one with TLS.

    Args:
        stream: The stream.
    """

    _stream: trio.abc.Stream

    @property
    def is_direct(self) -> bool:
        """Whether :meth:`write_now` may be called."""
        return False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive data; see :class:`ByteStream`."""
        return bytes(await self._stream.receive_some(max_bytes))

    async def write(self, data: bytes | memoryview) -> int:
        """Write a part of the data; see :class:`ByteStream`. If this is cancelled, the stream is closed."""
        async with closed_on_error(self._stream):
            await self._stream.send_all(data[:WRITE_SIZE])
        return min(len(data), WRITE_SIZE)

    def write_now(self, data: bytes) -> int:  # noqa: ARG002
        """Raise an error, because this stream cannot write without waiting."""
        raise BlockingIOError

    def send_eof(self) -> None:
        """Do nothing: not every stream can do this."""

    async def aclose(self) -> None:
        """Close the stream without waiting for its peer."""
        await trio.aclose_forcefully(self._stream)
