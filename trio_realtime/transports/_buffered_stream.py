"""A byte stream that is written to without waiting, with TLS if it needs that."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine
from typing import Any, final

import attrs
import trio

from ._byte_streams import ByteStream
from ._streams import tls_error
from ._tls import TlsCodec

__all__ = ["BufferedStream"]


def _ignore() -> None:
    """Report nothing."""


@final
@attrs.define(eq=False, repr=False)  # the upgrade request in the buffer has credentials
class BufferedStream(trio.abc.AsyncResource):
    """A byte stream with a buffer of what the operating system has not taken yet.

    Bytes are encrypted when they are put into the buffer, because TLS must send them in that order. So
    a task that is cancelled while it waits for the buffer leaves the stream intact.

    Args:
        stream: The stream.
        tls: Its TLS; ``None`` without.

    Attributes:
        pushed: The number of bytes that were written or put into the buffer.
        written: The number of bytes that were written.
        on_write: Called after each write.
    """

    _stream: ByteStream
    _tls: TlsCodec | None = None
    pushed: int = attrs.field(init=False, default=0)
    written: int = attrs.field(init=False, default=0)
    on_write: Callable[[], None] = attrs.field(init=False, default=_ignore)
    _buffer: list[bytes | memoryview] = attrs.field(init=False, factory=list[bytes | memoryview])
    _write_lock: trio.Lock | None = attrs.field(init=False, default=None)
    _is_direct: bool = attrs.field(init=False)
    _is_lost: bool = attrs.field(init=False, default=False)
    _early: bytes = attrs.field(init=False, default=b"")
    _is_at_end: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._is_direct = self._stream.is_direct

    async def do_handshake(self, peer: str) -> None:
        """Perform the handshake of TLS, if the stream has it.

        Raises:
            TransportConnectError: It failed. The message contains ``peer`` and what is wrong.
        """
        if self._tls is None:
            await trio.lowlevel.checkpoint()
            return
        try:
            while not self._tls.do_handshake():
                self._push_bytes(self._tls.take_output())
                await self.flush()
                self._tls.receive(await self._stream.receive_some())
        except ssl.SSLError as exc:
            cause = trio.BrokenResourceError("the TLS handshake failed")
            cause.__cause__ = exc
            raise tls_error(cause, peer) from exc
        except trio.BrokenResourceError as exc:
            raise tls_error(exc, peer) from exc
        self._push_bytes(self._tls.take_output())
        await self.flush()
        self._early, self._is_at_end = self._tls.decrypt(None)

    def receive_some(self, max_bytes: int | None = None) -> Coroutine[Any, Any, bytes]:
        """Receive data; ``b""`` is the end. Cancellation loses nothing.

        Raises:
            trio.BrokenResourceError: The connection was lost.
            trio.ClosedResourceError: The stream was closed.
        """
        if self._tls is None:
            return self._stream.receive_some(max_bytes)
        return self._receive_encrypted(self._tls, max_bytes)

    async def _receive_encrypted(self, tls: TlsCodec, max_bytes: int | None) -> bytes:
        if self._early:
            early, self._early = self._early, b""
            await trio.lowlevel.checkpoint()
            return early
        while not self._is_at_end:
            data, self._is_at_end = tls.decrypt(await self._stream.receive_some(max_bytes))
            if answer := tls.take_output():
                self._push_bytes(answer)
            if data:
                return data
        await trio.lowlevel.checkpoint()
        return b""

    # --- writing

    @property
    def writes_at_once(self) -> bool:
        """Whether :meth:`push` writes at once what the operating system takes."""
        return self._is_direct and not self._buffer and not self._is_lost

    @property
    def has_rest(self) -> bool:
        """Whether there are bytes in the buffer."""
        return bool(self._buffer)

    @property
    def is_flushing(self) -> bool:
        """Whether a task waits for the buffer to be written."""
        return self._write_lock is not None and self._write_lock.locked()

    def push(self, data: bytes) -> None:
        """Write as much as possible without waiting, and put the rest into the buffer."""
        if self._tls is not None:
            try:
                data = self._tls.encrypt(data)
            except ssl.SSLError:
                self._is_lost = True
                self._buffer.append(b"")  # to be flushed, which reports it
                return
        self._push_bytes(data)

    def _push_bytes(self, data: bytes) -> None:
        self.pushed += len(data)
        size = 0
        if self.writes_at_once:
            try:
                size = self._stream.write_now(data)
            except BlockingIOError:
                pass
            except OSError:
                self._is_lost = True
            else:
                self.written += size
                self.on_write()
        if size < len(data):
            self._buffer.append(memoryview(data)[size:] if size else data)

    async def flush(self) -> None:
        """Write the buffer. A cancellation leaves the rest in it, or closes a stream that is no socket.

        Raises:
            trio.BrokenResourceError: The connection was lost.
            trio.ClosedResourceError: The stream was closed.
        """
        if self._write_lock is None:
            self._write_lock = trio.Lock()
        async with self._write_lock:
            while self._buffer:
                if self._is_lost:
                    raise trio.BrokenResourceError("the connection was lost")
                data = self._buffer[0]
                size = await self._stream.write(data)
                if size < len(data):
                    self._buffer[0] = memoryview(data)[size:]
                else:
                    del self._buffer[0]
                self.written += size
                self.on_write()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of the data; see :meth:`flush`."""
        self.push(bytes(data))
        await self.flush()

    def send_eof(self) -> None:
        """Report the end of this direction to the peer, if the stream can do that."""
        if not self._buffer:
            self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the stream at once."""
        with trio.CancelScope(shield=True):
            await self._stream.aclose()
