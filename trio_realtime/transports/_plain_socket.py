"""Reading and writing the socket of a stream with fewer steps than :class:`trio.SocketStream` takes."""

from __future__ import annotations

import os
from typing import Final, Self, final

import attrs
import trio

__all__ = ["PlainSocket"]

_READ_SIZE: Final = 64 * 1024


@final
@attrs.define(eq=False)
class PlainSocket:
    """The socket of a stream without TLS. The stream still closes it.

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

    async def receive_some(self, _max_bytes: int | None = None) -> bytes:
        """Receive data; see :meth:`trio.abc.ReceiveStream.receive_some`.

        Raises:
            trio.BrokenResourceError: The connection was lost.
            trio.ClosedResourceError: The stream was closed.
        """
        socket = self._stream.socket
        while True:
            if socket.fileno() < 0:
                await trio.lowlevel.checkpoint_if_cancelled()
                raise trio.ClosedResourceError("the stream was closed")
            # Waiting first saves a system call that would nearly always fail.
            await trio.lowlevel.wait_readable(socket)
            try:
                return os.read(socket.fileno(), _READ_SIZE)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise trio.BrokenResourceError(f"the connection was lost: {exc}") from exc

    def write_now(self, data: bytes) -> int:
        """Write as much as the operating system takes, and return how much that is.

        Raises:
            OSError: It takes nothing, or the connection was lost.
        """
        return os.write(self._stream.socket.fileno(), data)
