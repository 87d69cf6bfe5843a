"""Carry the messages of a simulated network over a WebSocket, so that a simulation also covers a transport.

A session connects with :func:`.connect_fast` or :func:`.connect_trio_websocket`. Its socket is a
:class:`SimulatedSocket`, which takes as much of a write as it has space for, like a socket of the operating
system. The other end speaks WebSocket with wsproto and passes the messages on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib import import_module
from random import Random
from typing import Final, Literal, Protocol, TypeAlias, final

import attrs
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, Request, TextMessage
from wsproto.utilities import LocalProtocolError

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.errors import InternalError
from trio_realtime.transports import ConnectOptions, MemoryTransport, Transport, TransportClosed
from trio_realtime.transports._buffered_stream import BufferedStream

__all__ = ["SimulatedSocket", "TransportName", "carry", "simulated_sockets"]

TransportName: TypeAlias = Literal["memory", "trio-websocket", "fast"]
"""How a simulated session connects. ``"memory"`` uses no WebSocket."""

BUFFER: Final = 4608
"""Bytes in one direction that the other end has not read. Most events with audio are larger."""

_MODULES: Final = {
    "fast": "trio_realtime.transports._fast",
    "trio-websocket": "trio_realtime.transports._trio_websocket",
}
_LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


@attrs.define(eq=False)
class _Pipe:
    """One direction of a connection.

    Attributes:
        data: what was written and not read yet.
        has_ended: whether nothing will be written any more.
        is_broken: whether nothing will be read any more.
    """

    data: bytearray = attrs.field(factory=bytearray)
    has_ended: bool = False
    is_broken: bool = False
    changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    def put(self, data: bytes | memoryview) -> int:
        """Take as much of the data as there is space for."""
        taken = data[: BUFFER - len(self.data)]
        self.data += taken
        self.changed.unpark_all()
        return len(taken)

    def take(self, max_bytes: int) -> bytes:
        """Remove data."""
        taken = bytes(self.data[:max_bytes])
        del self.data[:max_bytes]
        self.changed.unpark_all()
        return taken


@final
@attrs.define(eq=False)
class SimulatedSocket:
    """One end of a connection that carries bytes: a :class:`.ByteStream` that can write without waiting.

    A read may return several messages, or the rest of one and the beginning of another.
    """

    _outgoing: _Pipe
    _incoming: _Pipe
    _random: Random
    _is_closed: bool = attrs.field(init=False, default=False)

    @property
    def is_direct(self) -> bool:
        """Whether :meth:`write_now` may be called."""
        return True

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive data; see :class:`.ByteStream`."""
        pipe = self._incoming
        await trio.lowlevel.checkpoint()
        while not (pipe.data or pipe.has_ended or self._is_closed):
            await pipe.changed.park()
        for _ in range(self._random.choice((0, 0, 2, 8, 30))):  # more may arrive meanwhile
            await trio.lowlevel.checkpoint()
        if self._is_closed:
            raise trio.ClosedResourceError
        return pipe.take(max_bytes or BUFFER)

    async def write(self, data: bytes | memoryview) -> int:
        """Write a part of the data; see :class:`.ByteStream`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            if self._is_closed:
                raise trio.ClosedResourceError
            if self._outgoing.is_broken:
                raise trio.BrokenResourceError
            if size := self._outgoing.put(data):
                await trio.lowlevel.cancel_shielded_checkpoint()
                return size
            await self._outgoing.changed.park()

    def write_now(self, data: bytes) -> int:
        """Write without waiting; see :class:`.ByteStream`."""
        if self._is_closed or self._outgoing.is_broken:
            raise BrokenPipeError
        size = self._outgoing.put(data)
        if not size:
            raise BlockingIOError
        return size

    def send_eof(self) -> None:
        """Report the end of this direction to the peer."""
        self._outgoing.has_ended = True
        self._outgoing.changed.unpark_all()

    async def aclose(self) -> None:
        """Close the socket at once. The peer still reads what was written."""
        self._is_closed = True
        self._incoming.is_broken = True
        self.send_eof()
        self._incoming.changed.unpark_all()
        await trio.lowlevel.checkpoint()


def simulated_sockets(seed: int = 0) -> tuple[SimulatedSocket, SimulatedSocket]:
    """Return two connected sockets. The seed chooses how much arrives at once."""
    one, other, random = _Pipe(), _Pipe(), Random(seed)
    return SimulatedSocket(one, other, random), SimulatedSocket(other, one, random)


class OpenStream(Protocol):
    """A function that connects."""

    async def __call__(self, options: ConnectOptions) -> BufferedStream:
        """Return the stream."""
        ...


class OpenConnection(Protocol):
    """A connector whose stream is chosen by its caller."""

    def __call__(
        self, options: ConnectOptions, open_stream: OpenStream
    ) -> AbstractAsyncContextManager[Transport]:
        """Open a connection for the duration of the block."""
        ...


@asynccontextmanager
async def carry(
    name: Literal["trio-websocket", "fast"],
    options: ConnectOptions,
    inner: Transport,
    memory: MemoryTransport,
    seed: int = 0,
) -> AsyncGenerator[Transport]:
    """Yield a transport whose messages go over a WebSocket and then through ``inner``.

    Args:
        name: the transport.
        options: its options.
        inner: what carries the messages on.
        memory: the connection below ``inner``, which is dropped if the WebSocket ends without a close.
        seed: chooses how much arrives at once.
    """
    open_connection: OpenConnection = import_module(_MODULES[name]).open_connection
    near, far = simulated_sockets(seed)

    async def open_stream(options: ConnectOptions) -> BufferedStream:  # noqa: ARG001
        await trio.lowlevel.checkpoint()
        return BufferedStream(near)

    async with open_bare_nursery(InternalError) as nursery:
        nursery.start_soon(_FarEnd(far, inner, memory).run)
        async with open_connection(options, open_stream) as transport:
            yield transport


@attrs.define(eq=False)
class _FarEnd:
    """The server's end of the WebSocket. Its messages come from another transport and go there."""

    _socket: SimulatedSocket
    _inner: Transport
    _memory: MemoryTransport
    _wire: WSConnection = attrs.field(factory=lambda: WSConnection(ConnectionType.SERVER))
    _parts: list[str] = attrs.field(factory=list[str])
    _writing: trio.Lock = attrs.field(factory=trio.Lock)

    async def run(self) -> None:
        """Carry messages until either end closes."""
        async with trio.open_nursery() as nursery:
            try:
                while await self._read(nursery):
                    pass
            finally:
                self._memory.drop()  # unless it was closed
                await self._socket.aclose()
            nursery.cancel_scope.cancel(reason="the WebSocket ended")

    async def _read(self, nursery: trio.Nursery) -> bool:
        try:
            data = await self._socket.receive_some()
        except _LOST:
            return False
        self._wire.receive_data(data or None)
        for event in self._wire.events():
            await self._handle(event, nursery)
        return bool(data) and self._wire.state is not ConnectionState.CLOSED

    async def _handle(self, event: Event, nursery: trio.Nursery) -> None:
        match event:
            case Request():
                await self._write(AcceptConnection())
                nursery.start_soon(self._send_messages)
            case TextMessage():
                self._parts.append(event.data)
                if event.message_finished:
                    text, self._parts = "".join(self._parts), []
                    with suppress(TransportClosed):
                        await self._inner.send(text)
            case Ping():
                await self._write(event.response())
            case CloseConnection():
                await self._finish(event)
            case _:
                pass

    async def _finish(self, event: CloseConnection) -> None:
        if self._wire.state is ConnectionState.REMOTE_CLOSING:
            await self._inner.aclose(int(event.code), event.reason or "")
            await self._write(event.response())

    async def _send_messages(self) -> None:
        while True:
            try:
                text = await self._inner.receive()
            except TransportClosed as closed:
                if closed.code == 1006:
                    await self._socket.aclose()
                else:
                    await self._write(CloseConnection(closed.code, closed.reason or None))
                return
            await self._write(TextMessage(data=str(text)))

    async def _write(self, event: Event) -> None:
        async with self._writing:
            try:
                left = memoryview(self._wire.send(event))
            except LocalProtocolError:
                return  # the connection was closed meanwhile
            with suppress(*_LOST):
                while left:
                    left = left[await self._socket.write(left) :]
