"""Serve a connection: run a :class:`ServerProtocol` over a transport.

A reader task receives messages, a writer task waits for the client to read, and the caller's task runs the
protocol between them. It waits for the next message or the next deadline, whichever comes first. While no event
waits for the writer, it writes an event itself as far as the operating system takes it.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, cast

import attrs
import msgspec
import trio

from trio_realtime.transports import DirectSender, Transport, TransportClosed
from trio_realtime.wire.dialects import DialectName

from . import frames
from .config import ServerConfig
from .errors import ProtocolError
from .outbox import Outbox
from .protocol import ServerProtocol
from .recording import Direction, MessageRecord, RecordArchive
from .requests import read_message
from .thread_limiter import ThreadLimiter
from .transcriber import TranscriptionRequest
from .transcriber_tasks import Transcribed, TranscriberTasks
from .types import Close, ConnectionRequest, Frame, Json, Output

__all__ = ["Connection", "ConnectionLog", "Limits", "serve_connection", "with_wall_clock"]

logger: Final = logging.getLogger("trio_realtime.local")
# All connections share the responder and the synthesizer, which need not be thread-safe.
_LIMITER: Final = ThreadLimiter("local_server_limiter")

_MAX_CONNECTIONS: Final = 1000
_MAX_LAST_ITEMS: Final = 64 * 1024
_GOING_AWAY: Final = Close(1001, "the server is going away")
_INTERNAL_ERROR: Final = Close(1011, "internal error")
#: In the queue, stands for what is left of an event that was written in part. No event is empty.
_REST: Final = ""
_TOO_SLOW: Final = Close(1013, "the client reads too slowly")

#: What the protocol handles: a message of the client, or a transcript.
_Input: TypeAlias = str | bytes | Transcribed


@attrs.frozen
class Limits:
    """Limits of one connection.

    Args:
        read_timeout: seconds for which the queue to a client may stay full. Then the server closes
            the connection with code 1013.
        close_timeout: seconds to send the remaining events, and again for the close handshake.
        ping_interval: seconds between pings to a client on a socket; ``math.inf`` sends none.
        ping_timeout: seconds in which a client has to answer a ping, or to continue the message that it
            is sending. Then the server closes the connection with code 1011.
        recorded_frames: number of latest messages in :attr:`Connection.messages`.
        recorded_bytes: memory that these messages take. A larger message is not recorded.
    """

    read_timeout: float = 10.0
    close_timeout: float = 1.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    recorded_frames: int = 1000
    recorded_bytes: int = 8 * 1024 * 1024


@attrs.define(eq=False)
class Connection:
    """One connection to a local server: its latest messages and its end.

    The messages of ended connections take up to 32 MiB together. Then those of the connections
    that ended first are discarded, and ``messages.counts`` remains.

    Args:
        request: the upgrade request.
        messages: the latest messages, unchanged, each ``"received"`` from the client or
            ``"sent"`` to it. :attr:`frames` has them decoded.
        closed: how the server closed the connection; None while it is open.
        scope: cancel it to close the connection with code 1001.
        ended: set when the connection is closed.
    """

    request: ConnectionRequest
    messages: MessageRecord = attrs.field(repr=False)
    closed: Close | None = None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, repr=False)
    ended: trio.Event = attrs.field(factory=trio.Event, repr=False)
    _requested_close: Close = attrs.field(default=_GOING_AWAY, init=False, repr=False)
    _protocol: ServerProtocol | None = attrs.field(default=None, init=False, repr=False)
    _last_items: list[Json] = attrs.field(factory=list[Json], init=False, repr=False)

    @classmethod
    def of(cls, request: ConnectionRequest, limits: Limits) -> Connection:
        """Return a new connection."""
        return cls(request, MessageRecord(limits.recorded_frames, limits.recorded_bytes))

    @property
    def items(self) -> list[Json]:
        """The items of the conversation in order, as the server has them now.

        They are as in events: without audio and images. The list is empty until the server has
        handled the upgrade request. After the end of the connection it stays as it was then, but is
        empty if the items take more than 64 KiB as JSON.
        """
        return [*self._last_items] if self._protocol is None else self._protocol.items

    def serves(self, protocol: ServerProtocol) -> None:
        """Record the protocol that serves this connection."""
        self._protocol = protocol

    def serves_no_more(self) -> None:
        """Let go of the protocol, whose conversation may hold much audio. Small items are retained."""
        items = self.items
        if len(msgspec.json.encode(items)) <= _MAX_LAST_ITEMS:
            self._last_items = items
        self._protocol = None

    def request_close(self, close: Close) -> None:
        """Close the connection with this code and reason."""
        self._requested_close = close
        self.scope.cancel(reason=close.reason)

    @property
    def requested_close(self) -> Close:
        """How to close the connection when :attr:`scope` was cancelled."""
        return self._requested_close

    @property
    def frames(self) -> list[tuple[Direction, Json]]:
        """The latest messages as JSON objects, in order, without invalid messages."""
        return [(direction, data) for direction, data in map(_decoded, self.messages) if data]

    @property
    def sent(self) -> list[Json]:
        """The latest events that the server sent."""
        return [data for direction, data in self.frames if direction == "sent"]

    @property
    def received(self) -> list[Json]:
        """The latest events that the client sent."""
        return [data for direction, data in self.frames if direction == "received"]


def _decoded(entry: tuple[Direction, str | bytes]) -> tuple[Direction, Json | None]:
    direction, message = entry
    try:
        return direction, read_message(message)
    except ProtocolError:
        return direction, None


class ConnectionLog:
    """The latest connections of a server, oldest first.

    Args:
        limits: limits of each connection.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connections: deque[Connection] = deque(maxlen=_MAX_CONNECTIONS)
        self._archive = RecordArchive()

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._connections)

    def add(self, request: ConnectionRequest) -> Connection:
        """Return a new connection."""
        connection = Connection.of(request, self._limits)
        self._connections.append(connection)
        return connection

    def end(self, connection: Connection) -> None:
        """Record that a connection is closed."""
        self._archive.add(connection.messages)


def with_wall_clock(config: ServerConfig) -> ServerConfig:
    """Return the config with ``epoch`` set from the system clock, unless it is set already."""
    if config.epoch is not None:
        return config
    return attrs.evolve(config, epoch=time.time() - trio.current_time())


async def serve_connection(
    transport: Transport, connection: Connection, config: ServerConfig, limits: Limits
) -> None:
    """Serve a connection until either side closes it or ``connection.scope`` is cancelled.

    Closes the transport. An internal error is logged, not raised, and closes the connection with
    code 1011. Other cancellation closes the transport without a close frame, so callers cancel
    ``connection.scope`` instead.
    """
    try:
        await _serve_connection(transport, connection, config, limits)
    finally:
        connection.ended.set()


async def _serve_connection(
    transport: Transport, connection: Connection, config: ServerConfig, limits: Limits
) -> None:
    # Unbuffered, because a message may have megabytes.
    inbox_send, inbox = trio.open_memory_channel[_Input](0)
    outbox = Outbox()
    direct = cast("DirectSender", transport) if hasattr(transport, "try_send") else None
    async with trio.open_nursery() as nursery:
        written = trio.Event()
        nursery.start_soon(_read, transport, inbox_send)
        nursery.start_soon(_write, transport, direct, outbox, written)
        transcriber = TranscriberTasks(config.transcriber, nursery, inbox_send)
        loop = _ConnectionLoop(connection, config, limits, inbox, outbox, direct, transcriber)
        close = await loop.run()
        connection.closed = close
        outbox.close()
        if close is not _TOO_SLOW:
            with trio.move_on_after(limits.close_timeout):
                await written.wait()
        await transport.aclose(close.code, close.reason)
        nursery.cancel_scope.cancel(reason="the connection is closed")


async def _read(transport: Transport, inbox: trio.MemorySendChannel[_Input]) -> None:
    async with inbox:
        while True:
            try:
                # Not in a variable, which would keep it while the next message is awaited.
                await inbox.send(await transport.receive())
            except TransportClosed:
                return


async def _write(
    transport: Transport, direct: DirectSender | None, outbox: Outbox, written: trio.Event
) -> None:
    try:
        while True:
            text = await outbox.receive()
            if direct is not None and direct.has_rest:
                await direct.flush()
            if text != _REST:
                await transport.send(text)
    except trio.EndOfChannel:
        return
    except TransportClosed:
        return  # the reader ends the connection
    finally:
        outbox.close_receiver()
        written.set()


class _ConnectionLoop:
    """Passes messages and the time to the protocol, and its outputs to the writer."""

    def __init__(
        self,
        connection: Connection,
        config: ServerConfig,
        limits: Limits,
        inbox: trio.MemoryReceiveChannel[_Input],
        outbox: Outbox,
        direct: DirectSender | None,
        transcriber: TranscriberTasks,
    ) -> None:
        self._connection = connection
        self._dialect: DialectName = config.dialect
        self._limits = limits
        self._inbox = inbox
        self._outbox = outbox
        self._direct = direct
        self._transcriber = transcriber
        self._protocol = ServerProtocol(
            config, connection=connection.request, now=trio.current_time()
        )
        connection.serves(self._protocol)
        self._in_thread = config.synthesizer.blocking

    async def run(self) -> Close:
        """Run until the connection ends. Return how to close it."""
        close = None
        with self._connection.scope:
            try:
                close = await self._serve()
            except Exception:
                logger.exception(
                    "internal error in the local server; closing %r", self._connection.request
                )
                close = _INTERNAL_ERROR
            finally:
                self._connection.serves_no_more()
        return self._connection.requested_close if close is None else close

    async def _serve(self) -> Close:
        close = await self._send_outputs(self._protocol.open(trio.current_time()))
        while close is None:
            deadline = self._protocol.next_deadline()
            try:
                # Not in a variable, which would keep it while the next message is awaited.
                outputs = await self._process(
                    await self._next_input(math.inf if deadline is None else deadline)
                )
            except trio.EndOfChannel:
                return Close(1000)
            close = await self._send_outputs(outputs)
        return close

    async def _next_input(self, deadline: float) -> _Input | None:
        """Return the next message or transcript, or None at the deadline."""
        if self._protocol.is_busy:
            # Let other connections run before the latest message is handled further.
            await trio.lowlevel.checkpoint()
            return None
        if deadline <= trio.current_time():
            # Handle client messages between two events, however fast they are generated.
            await trio.lowlevel.checkpoint()
            return self._pending_input()
        with trio.move_on_at(deadline):
            return await self._inbox.receive()
        return None

    def _pending_input(self) -> _Input | None:
        try:
            return self._inbox.receive_nowait()
        except trio.WouldBlock:
            return None

    async def _process(self, received: _Input | None) -> list[Output]:
        if isinstance(received, str | bytes):
            self._connection.messages.append("received", received)
        handle = self._bind_input(received, trio.current_time())
        if self._in_thread:
            return await trio.to_thread.run_sync(handle, limiter=_LIMITER.get())
        return handle()

    def _bind_input(self, received: _Input | None, now: float) -> Callable[[], list[Output]]:
        match received:
            case None:
                return lambda: self._protocol.advance(now)
            case Transcribed(item_id=item_id, result=result):
                return lambda: self._protocol.transcribed(item_id, result, now)
            case _:
                return lambda: self._protocol.receive(received, now)

    async def _send_outputs(self, outputs: list[Output]) -> Close | None:
        for output in outputs:
            match output:
                case Frame(data=data):
                    text = frames.encode(data, self._dialect)
                    if text is None:
                        continue
                    self._connection.messages.append("sent", text)
                    if not await self._send(text):
                        return _TOO_SLOW
                case TranscriptionRequest():
                    self._transcriber.start_soon(output)
                case Close():
                    return output
        return None

    async def _send(self, text: str) -> bool:
        """Write an event at once, or queue it. Return False if the client does not read for too long."""
        if self._direct is not None and self._outbox.is_idle and self._direct.try_send(text):
            if not self._direct.has_rest:
                return True
            text = _REST  # the writer waits for the client
        try:
            with trio.move_on_after(self._limits.read_timeout) as scope:
                await self._outbox.send(text)
        except trio.BrokenResourceError:
            return True  # the client is gone; the inbox ends after its last message
        return not scope.cancelled_caught
