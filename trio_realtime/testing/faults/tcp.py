"""A TCP proxy with faults, for tests on real sockets.

It forwards bytes between a client and a server and does not interpret them, so it also works for TLS.
It runs on trio's clock, but the sockets do not: use it without virtual time.
"""

from __future__ import annotations

import math
import socket
import struct
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, final

import attrs
import trio

from trio_realtime._nursery import open_bare_nursery

from ._frame_scanner import FrameScanner
from .plan import Direction, Directions, directions_of

__all__ = ["TcpFaultConnection", "TcpFaultProxy", "serve_tcp_faults"]

# A close with this option sends RST instead of FIN.
_NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_MAX_PIECE: Final = 64 * 1024
_PIECES_PER_SECOND: Final = 20


@asynccontextmanager
async def serve_tcp_faults(
    host: str, port: int, *, listen_host: str = "127.0.0.1", buffer: int | None = None
) -> AsyncGenerator[TcpFaultProxy]:
    """Run a TCP proxy for the duration of an ``async with`` block.

    Leaving the block closes all sockets, also when it is cancelled.

    Args:
        host: The host of the server to forward to.
        port: The port of that server.
        listen_host: The IP address to listen on. The port is a free one.
        buffer: The size of each buffer of the sockets, in bytes; by default, that of the system. With
            small buffers, a frozen or slow connection blocks its sender early.

    Raises:
        OSError: The proxy cannot listen.
    """
    async with open_bare_nursery(AssertionError) as nursery:
        proxy = TcpFaultProxy((host, port), _listen(listen_host, 0, buffer), nursery, buffer)
        nursery.start_soon(proxy.run)
        try:
            yield proxy
        finally:
            proxy.refuse_connections()


def _listen(host: str, port: int, buffer: int | None) -> trio.SocketListener:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        if sys.platform != "win32":
            # Also while connections of an earlier listener are in TIME_WAIT.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Before listening, because the window of a connection depends on it.
        _set_buffers(listening, buffer)
        listening.bind((host, port))
        listening.listen()
        return trio.SocketListener(trio.socket.from_stdlib_socket(listening))
    except BaseException:
        listening.close()
        raise


def _set_buffers(sock: socket.socket | trio.socket.SocketType, buffer: int | None) -> None:
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)


@final
@attrs.frozen
class _FlowSettings:
    """What disturbs one direction; by default, nothing.

    Attributes:
        is_frozen: No bytes are read.
        loses_data: Bytes are read and discarded.
        bytes_per_second: The bandwidth.
        cut_after: How many more bytes pass before the connection is reset.
        cuts_frame: The connection is reset in the middle of the next message.
    """

    is_frozen: bool = False
    loses_data: bool = False
    bytes_per_second: float = math.inf
    cut_after: float = math.inf
    cuts_frame: bool = False


@final
class _Flow:
    """One direction of a connection."""

    def __init__(self, settings: _FlowSettings) -> None:
        self.transferred = 0
        self.settings = settings
        self._scanner = FrameScanner()
        self._changed = trio.lowlevel.ParkingLot()

    def change(self, **settings: Any) -> None:
        """Change settings from now on."""
        self.settings = attrs.evolve(self.settings, **settings)
        self._changed.unpark_all()

    async def forward(
        self, source: trio.SocketStream, sink: trio.SocketStream, reset: Callable[[], None]
    ) -> None:
        """Forward bytes until the source has no more, and then the end.

        Args:
            source: Where the bytes come from.
            sink: Where they go.
            reset: Resets the connection.
        """
        try:
            while data := await self._read(source):
                while data:
                    await self._wait_while_frozen()
                    piece, data = data[: self._piece_size], data[self._piece_size :]
                    await self._write(sink, piece, reset)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await self._wait_end()
            reset()
            return
        await self._wait_end()
        try:
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            reset()

    @property
    def _piece_size(self) -> int:
        return max(1, int(min(self.settings.bytes_per_second / _PIECES_PER_SECOND, _MAX_PIECE)))

    async def _read(self, source: trio.SocketStream) -> bytes:
        await self._wait_while_frozen()
        return bytes(await source.receive_some(self._piece_size))

    async def _write(self, sink: trio.SocketStream, data: bytes, reset: Callable[[], None]) -> None:
        cut = self._cut_position(data)
        if self.settings.loses_data:
            return
        passed = data if cut is None else data[:cut]
        # Counted first, because the sink may have the bytes before this task runs again.
        self.transferred += len(passed)
        await sink.send_all(passed)
        if cut is not None:
            reset()
            return
        self.settings = attrs.evolve(self.settings, cut_after=self.settings.cut_after - len(passed))
        with trio.move_on_after(len(data) / self.settings.bytes_per_second):
            while self.settings.bytes_per_second < math.inf:
                await self._changed.park()

    def _cut_position(self, data: bytes) -> int | None:
        """Return how many bytes pass before the connection is reset; ``None`` for all."""
        messages = list(self._scanner.payloads(data))
        if self.settings.cuts_frame and messages:
            start, end = messages[0]
            return (start + end) // 2
        if self.settings.cut_after < len(data):
            return int(self.settings.cut_after)
        return None

    async def _wait_while_frozen(self) -> None:
        while self.settings.is_frozen:
            await self._changed.park()

    async def _wait_end(self) -> None:
        """Wait until the end is seen, which a direction that is frozen or loses data hides."""
        while self.settings.is_frozen or self.settings.loses_data:
            await self._changed.park()


class _Controls:
    """The lasting faults, of one connection or of a whole proxy."""

    def _change(self, direction: Directions, **settings: Any) -> None:
        raise NotImplementedError

    def freeze(self, direction: Directions = "both") -> None:
        """Forward nothing until :meth:`resume`. The buffers of the system fill up."""
        self._change(direction, is_frozen=True)

    def lose(self, direction: Direction) -> None:
        """Discard the bytes of one direction until :meth:`resume`: a one-way connection."""
        self._change(direction, loses_data=True)

    def trickle(self, bytes_per_second: float, direction: Directions = "both") -> None:
        """Forward so many bytes per second until :meth:`resume`."""
        if not bytes_per_second > 0:
            raise ValueError(f"bytes_per_second must be > 0, got {bytes_per_second!r}")
        self._change(direction, bytes_per_second=bytes_per_second)

    def resume(self, direction: Directions = "both") -> None:
        """Forward everything again, and cut nothing. Bytes that were lost do not come back."""
        fields = attrs.fields_dict(_FlowSettings)
        self._change(direction, **{name: field.default for name, field in fields.items()})


@final
class TcpFaultConnection(_Controls):
    """One connection through a :class:`TcpFaultProxy`.

    ``"outgoing"`` are the bytes of the client, ``"incoming"`` those of the server. The controls return
    at once; after the end of the connection they have no effect.

    Attributes:
        closed: Set when both sockets are closed.
    """

    def __init__(self, client: trio.SocketStream, settings: dict[Direction, _FlowSettings]) -> None:
        self.closed: trio.Event = trio.Event()
        self._client = client
        self._server: trio.SocketStream | None = None
        self._flows: dict[Direction, _Flow] = {
            direction: _Flow(initial) for direction, initial in settings.items()
        }
        self._scope = trio.CancelScope()

    def transferred(self, direction: Direction) -> int:
        """Return how many bytes were forwarded in one direction."""
        return self._flows[direction].transferred

    def _change(self, direction: Directions, **settings: Any) -> None:
        for name in directions_of(direction):
            self._flows[name].change(**settings)

    def cut_after(self, count: int, direction: Direction) -> None:
        """Reset the connection when so many more bytes were forwarded in this direction."""
        self._change(direction, cut_after=count)

    def cut_frame(self, direction: Direction) -> None:
        """Reset the connection in the middle of the next message of a WebSocket without TLS."""
        self._change(direction, cuts_frame=True)

    def reset(self) -> None:
        """Reset the connection now: both ends get an RST, also for bytes under way."""
        if self._scope.cancel_called or self.closed.is_set():
            return
        for stream in (self._client, self._server):
            if stream is not None:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                stream.socket.close()
        self._scope.cancel(reason="the connection was reset")

    def close(self) -> None:
        """Close the connection now: both ends get an end of the stream, without a close frame."""
        self._scope.cancel(reason="the connection was closed")

    async def run(self, host: str, port: int, buffer: int | None) -> None:
        """Connect to the server and forward bytes until the connection ends."""
        try:
            with self._scope:
                await self._run(host, port, buffer)
        finally:
            for stream in (self._client, self._server):
                if stream is not None:
                    stream.socket.close()
            self.closed.set()

    async def _run(self, host: str, port: int, buffer: int | None) -> None:
        try:
            self._server = await trio.open_tcp_stream(host, port)
        except OSError:
            self.reset()
            return
        _set_buffers(self._server.socket, buffer)
        async with trio.open_nursery() as nursery:
            outgoing, incoming = self._flows["outgoing"], self._flows["incoming"]
            nursery.start_soon(outgoing.forward, self._client, self._server, self.reset)
            nursery.start_soon(incoming.forward, self._server, self._client, self.reset)


@final
class TcpFaultProxy(_Controls):
    """A TCP proxy with faults. :func:`serve_tcp_faults` creates it.

    :meth:`freeze`, :meth:`lose` and :meth:`trickle` apply to all open and all later connections.

    Attributes:
        host: The IP address of the proxy.
        port: The port of the proxy.
        connections: All connections, in order, also closed ones.
    """

    def __init__(
        self,
        target: tuple[str, int],
        listener: trio.SocketListener,
        nursery: trio.Nursery,
        buffer: int | None,
    ) -> None:
        address: tuple[str, int] = listener.socket.getsockname()
        self.host: str = address[0]
        self.port: int = address[1]
        self.connections: list[TcpFaultConnection] = []
        self._target = target
        self._listener: trio.SocketListener | None = listener
        self._nursery = nursery
        self._buffer = buffer
        self._settings: dict[Direction, _FlowSettings] = {
            "incoming": _FlowSettings(),
            "outgoing": _FlowSettings(),
        }
        self._changed = trio.lowlevel.ParkingLot()

    async def wait_connection(self, count: int = 1) -> TcpFaultConnection:
        """Wait until so many connections were accepted, and return the last of them.

        Cancellation changes nothing.
        """
        await trio.lowlevel.checkpoint()
        while len(self.connections) < count:
            await self._changed.park()
        return self.connections[count - 1]

    def _change(self, direction: Directions, **settings: Any) -> None:
        for name in directions_of(direction):
            self._settings[name] = attrs.evolve(self._settings[name], **settings)
        for connection in self.connections:
            connection._change(direction, **settings)  # noqa: SLF001 - the same base class

    def reset(self) -> None:
        """Reset all open connections; see :meth:`TcpFaultConnection.reset`."""
        for connection in self.connections:
            connection.reset()

    def refuse_connections(self) -> None:
        """Stop listening: the system refuses new connections. Open ones are not affected."""
        if self._listener is not None:
            self._listener.socket.close()
            self._listener = None

    def accept_connections(self) -> None:
        """Listen on the same port again.

        Raises:
            OSError: Another program took the port.
        """
        if self._listener is None:
            self._listener = _listen(self.host, self.port, self._buffer)
            self._changed.unpark_all()

    async def run(self) -> None:
        """Accept connections."""
        while True:
            if self._listener is None:
                await self._changed.park()
                continue
            try:
                client = await self._listener.accept()
            except trio.ClosedResourceError:
                continue
            connection = TcpFaultConnection(client, self._settings)
            self.connections.append(connection)
            self._changed.unpark_all()
            self._nursery.start_soon(connection.run, *self._target, self._buffer)
