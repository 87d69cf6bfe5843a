"""Drives a :class:`ServerConnection` over a transport: the only part with tasks.

A reader hands messages in, a writer owns the transport's sending side, and the core between them is
the caller's task. The core waits for the next message or the next deadline, whichever is first.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import attrs
import msgspec
import trio

from trio_realtime.transports import Transport, TransportClosed

from .config import ServiceOptions
from .errors import Refusal
from .requests import read_message
from .service import ServerConnection
from .types import Close, ConnectionRequest, Frame, Json, Output

__all__ = ["Connection", "Limits", "converse", "with_wall_clock"]

logger: Final = logging.getLogger("trio_realtime.local")

_INBOX: Final = 64
_OUTBOX: Final = 256
_GOING_AWAY: Final = Close(1001, "the server is going away")
_BROKEN: Final = Close(1011, "internal error")
_TOO_SLOW: Final = Close(1013, "the client reads too slowly")

Direction: TypeAlias = Literal["sent", "received"]


@attrs.frozen
class Limits:
    """What a connection may cost.

    Args:
        read_timeout: seconds that a client may leave the queue to it full, then 1013.
        close_timeout: seconds for what is still to be sent and for the close handshake, each.
        recorded_frames: how many frames of a connection are kept for :attr:`Connection.frames`.
    """

    read_timeout: float = 10.0
    close_timeout: float = 1.0
    recorded_frames: int = 1000


@attrs.define(eq=False)
class Connection:
    """What was said on one connection.

    Args:
        request: the upgrade request.
        messages: the latest messages as they were, each ``"received"`` from the client or
            ``"sent"`` to it; :attr:`frames` has them decoded.
        closed: how the connection ended, as far as this side knows; None while it is open.
        scope: cancel it to close the connection with 1001.
        ended: set when the connection is closed.
    """

    request: ConnectionRequest
    messages: deque[tuple[Direction, str | bytes]] = attrs.field(repr=False)
    closed: Close | None = None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, repr=False)
    ended: trio.Event = attrs.field(factory=trio.Event, repr=False)

    @classmethod
    def of(cls, request: ConnectionRequest, limits: Limits) -> Connection:
        """A new connection."""
        return cls(request, deque(maxlen=limits.recorded_frames))

    @property
    def frames(self) -> list[tuple[Direction, Json]]:
        """The latest frames in their order; what was no JSON object is left out."""
        return [(direction, data) for direction, data in map(_decoded, self.messages) if data]

    @property
    def sent(self) -> list[Json]:
        """Events that the server sent."""
        return [data for direction, data in self.frames if direction == "sent"]

    @property
    def received(self) -> list[Json]:
        """Events that the client sent."""
        return [data for direction, data in self.frames if direction == "received"]


def _decoded(entry: tuple[Direction, str | bytes]) -> tuple[Direction, Json | None]:
    direction, message = entry
    try:
        return direction, read_message(message)
    except Refusal:
        return direction, None


def with_wall_clock(options: ServiceOptions) -> ServiceOptions:
    """Options whose ``expires_at`` is right by the system's clock, unless they say otherwise."""
    if options.epoch is not None:
        return options
    return attrs.evolve(options, epoch=time.time() - trio.current_time())


async def converse(
    transport: Transport, connection: Connection, options: ServiceOptions, limits: Limits
) -> None:
    """Serve one connection until either side closes it or ``connection.scope`` is cancelled.

    The transport is closed in the end. A bug closes it with 1011 and is logged, not raised. Must
    run where nothing else is cancelled, or the client sees no close frame.
    """
    try:
        await _converse(transport, connection, options, limits)
    finally:
        connection.ended.set()


async def _converse(
    transport: Transport, connection: Connection, options: ServiceOptions, limits: Limits
) -> None:
    inbox_send, inbox = trio.open_memory_channel[str | bytes](_INBOX)
    outbox, outbox_receive = trio.open_memory_channel[str](_OUTBOX)
    async with trio.open_nursery() as nursery:
        written = trio.Event()
        nursery.start_soon(_read, transport, inbox_send)
        nursery.start_soon(_write, transport, outbox_receive, written)
        core = _Core(connection, options, limits, inbox, outbox)
        close = await core.run()
        connection.closed = close
        outbox.close()
        if close is not _TOO_SLOW:
            with trio.move_on_after(limits.close_timeout):
                await written.wait()
        await transport.aclose(close.code, close.reason)
        nursery.cancel_scope.cancel(reason="the connection is closed")


async def _read(transport: Transport, inbox: trio.MemorySendChannel[str | bytes]) -> None:
    async with inbox:
        while True:
            try:
                message = await transport.receive()
            except TransportClosed:
                return
            await inbox.send(message)


async def _write(
    transport: Transport, outbox: trio.MemoryReceiveChannel[str], written: trio.Event
) -> None:
    try:
        async with outbox:
            async for text in outbox:
                await transport.send(text)
    except TransportClosed:
        return  # the reader has noticed too
    finally:
        written.set()


class _Core:
    """The middle of a connection: feeds the service, and takes what it puts out to the writer."""

    def __init__(
        self,
        connection: Connection,
        options: ServiceOptions,
        limits: Limits,
        inbox: trio.MemoryReceiveChannel[str | bytes],
        outbox: trio.MemorySendChannel[str],
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._inbox = inbox
        self._outbox = outbox
        self._service = ServerConnection(
            options, connection=connection.request, now=trio.current_time()
        )
        self._in_thread = options.voice.blocking

    async def run(self) -> Close:
        """Returns how to close."""
        close = _GOING_AWAY
        with self._connection.scope:
            try:
                close = await self._serve()
            except Exception:
                logger.exception("bug in the local server: closing %r", self._connection.request)
                close = _BROKEN
        return close

    async def _serve(self) -> Close:
        close = await self._put_out(self._service.open(trio.current_time()))
        while close is None:
            deadline = self._service.next_deadline()
            try:
                message = await self._next_message(math.inf if deadline is None else deadline)
            except trio.EndOfChannel:
                return Close(1000)
            close = await self._put_out(await self._call(message))
        return close

    async def _next_message(self, deadline: float) -> str | bytes | None:
        """The next message; None when the deadline is first."""
        if deadline <= trio.current_time():
            # Lets the client have its say between two pieces, however fast they are generated.
            await trio.lowlevel.checkpoint()
            return self._message_at_hand()
        with trio.move_on_at(deadline):
            return await self._inbox.receive()
        return None

    def _message_at_hand(self) -> str | bytes | None:
        try:
            return self._inbox.receive_nowait()
        except trio.WouldBlock:
            return None

    async def _call(self, message: str | bytes | None) -> list[Output]:
        if message is not None:
            self._connection.messages.append(("received", message))
        work = self._work(message, trio.current_time())
        if self._in_thread:
            return await trio.to_thread.run_sync(work, limiter=_one_at_a_time())
        return work()

    def _work(self, message: str | bytes | None, now: float) -> Callable[[], list[Output]]:
        if message is None:
            return lambda: self._service.advance(now)
        return lambda: self._service.receive(message, now)

    async def _put_out(self, outputs: list[Output]) -> Close | None:
        for output in outputs:
            match output:
                case Frame(data=data):
                    text = msgspec.json.encode(data).decode()
                    self._connection.messages.append(("sent", text))
                    if not await self._send(text):
                        return _TOO_SLOW
                case Close():
                    return output
        return None

    async def _send(self, text: str) -> bool:
        """False when the client did not read for too long."""
        try:
            with trio.move_on_after(self._limits.read_timeout) as scope:
                await self._outbox.send(text)
        except trio.BrokenResourceError:
            return True  # the client is gone; the inbox says so after its last message
        return not scope.cancelled_caught


_limiter: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("local_voice")


def _one_at_a_time() -> trio.CapacityLimiter:
    """Brains and voices are shared by all connections and need not be thread-safe."""
    try:
        return _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(1)
        _limiter.set(limiter)
        return limiter
