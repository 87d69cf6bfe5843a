"""The network between the session and the local server, and its faults.

Each message takes ``latency`` seconds. :meth:`Network.stall` holds both directions back for a while,
:meth:`Network.drop` ends the connection like an unplugged cable. :data:`DROP_ENDS_WITH` is what the
session does after a drop.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, cast

import attrs
import msgspec
import trio

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.errors import ConnectionLost, InternalError, RealtimeError
from trio_realtime.local import ServerConfig
from trio_realtime.local.connection import Connection, Limits, serve_connection
from trio_realtime.local.types import Close, ConnectionRequest
from trio_realtime.transports import (
    ConnectOptions,
    DirectSender,
    MemoryTransport,
    Transport,
    memory_transport_pair,
)

from .log import Frame, Log, member
from .websockets import TransportName, carry

__all__ = ["DROP_ENDS_WITH", "LONG_STALL", "WEIRD_EVENTS", "Network"]

DROP_ENDS_WITH: Final[type[RealtimeError] | None] = ConnectionLost
"""What a drop of the connection ends the session with; ``None`` if the session goes on."""

LONG_STALL: Final = 10.0
"""Seconds of a stall after which the session may count the connection as lost."""

WEIRD_EVENTS: Final[tuple[Frame, ...]] = (
    {"type": "future.event", "event_id": "event_future", "value": None, "list": [{"a": None}]},
    {"type": "rate_limits.updated", "event_id": None, "rate_limits": None},
    {"type": "response.future.delta", "event_id": "e", "response_id": None, "delta": None},
    {"type": "conversation.item.future", "item": None},
    {"type": "input_audio_buffer.timeout_triggered", "event_id": "e", "item_id": None},
    {"type": "conversation.item.retrieved", "event_id": "e", "item": {"type": "future_item"}},
    {"type": "response.output_text.delta", "response_id": "resp_none", "item_id": None},
)
"""Events that no version of the protocol has, and events with nulls where the schema has none."""


class DirectTransport(Transport, DirectSender, Protocol):
    """A transport with all optional members."""

    async def receive_many(self) -> list[str | bytes]:
        """Return all messages that have arrived, at least one."""
        ...


@attrs.define(eq=False)
class _Direction:
    """One direction of a connection: when each message that was sent arrives."""

    due: deque[float] = attrs.field(factory=deque[float])
    pending: str | bytes | None = None


class _TimedTransport:
    """One end of a connection whose messages take time."""

    def __init__(
        self, inner: MemoryTransport, network: Network, outgoing: _Direction, incoming: _Direction
    ) -> None:
        self._inner = inner
        self._network = network
        self._outgoing = outgoing
        self._incoming = incoming

    async def send(self, text: str) -> None:
        # Added before the send, which may wait for space, and removed when the receiver has it.
        self._outgoing.due.append(trio.current_time() + self._network.latency)
        await self._inner.send(text)

    async def receive(self) -> str | bytes:
        incoming = self._incoming
        if incoming.pending is None:
            await self._network.wait_flow()
            incoming.pending = await self._inner.receive()
        due = max(incoming.due[0], self._network.flows_at)
        if due > trio.current_time():
            await trio.sleep_until(due)
        incoming.due.popleft()
        message, incoming.pending = incoming.pending, None
        return message

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.aclose(code, reason)


class _ClientTransport:
    """The session's end. It logs the messages, and adds those that the server is to repeat."""

    def __init__(self, inner: Transport, network: Network) -> None:
        self._inner = inner
        self._network = network
        self._is_open = True

    async def send(self, text: str) -> None:
        # Logged before it is sent, so that its effects come later in the log.
        self._network.sent(text)
        await self._inner.send(text)

    async def receive(self) -> str | bytes:
        extra = self._network.next_extra()
        if extra is None:
            return self._network.received(str(await self._inner.receive()))
        await trio.lowlevel.checkpoint()
        return self._network.received(extra)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        try:
            await self._inner.aclose(code, reason)
        finally:
            if self._is_open:
                self._is_open = False
                self._network.open_transports -= 1


class _DirectClientTransport(_ClientTransport):
    """The session's end of a transport that receives in batches and writes without waiting."""

    def __init__(self, inner: DirectTransport, network: Network) -> None:
        super().__init__(inner, network)
        self._direct = inner

    async def receive_many(self) -> list[str | bytes]:
        extra = self._network.next_extra()
        if extra is None:
            received = await self._direct.receive_many()
            return [self._network.received(str(message)) for message in received]
        await trio.lowlevel.checkpoint()
        return [self._network.received(extra)]

    @property
    def has_rest(self) -> bool:
        return self._direct.has_rest

    def try_send(self, text: str) -> bool:
        if not self._direct.try_send(text):
            return False
        self._network.sent(text)
        return True

    async def flush(self) -> None:
        await self._direct.flush()


class Network:
    """A connector to a local server, and the faults of the way to it.

    Args:
        log: the log of frames and faults.
        server: the configuration of the server.
        latency: seconds that each message takes.
        send_buffer: messages in each direction that wait to be read before a send waits.
        extra_fields: whether to add unknown fields and nulls to the server's events.
        repeat: the seed for messages to repeat; ``None`` for no repetition.
        transport: what the session connects with.

    Attributes:
        connections: the server's side of each connection.
        open_transports: transports that are not closed.
        flows_at: when a stall ends.
        texts: the messages that the session has read.
    """

    def __init__(
        self,
        log: Log,
        server: ServerConfig,
        *,
        latency: float = 0.0,
        send_buffer: int = 1000,
        extra_fields: bool = False,
        repeat: int | None = None,
        transport: TransportName = "memory",
    ) -> None:
        self.log = log
        self.connections: list[Connection] = []
        self.open_transports: int = 0
        self.flows_at: float = 0.0
        self.latency: float = latency
        self.texts: list[str] = []
        self._server = server
        self._send_buffer = send_buffer
        self._extra_fields = extra_fields
        self._repeat = repeat
        self._transport: TransportName = transport
        self._repeater: _Repeater | None = None
        self._extra: deque[str] = deque()
        self._server_end: MemoryTransport | None = None
        self._directions = (_Direction(), _Direction())

    # --- faults

    def drop(self) -> None:
        """End the connection without a close frame. What the server has sent still arrives."""
        if self._server_end is not None:
            self.log.note("fault", "drop")
            self._server_end.drop()

    def stall(self, seconds: float) -> None:
        """Deliver nothing in either direction for this time. Nothing is lost."""
        self.log.note("fault", "long stall" if seconds >= LONG_STALL else "stall")
        self.flows_at = max(self.flows_at, trio.current_time() + seconds)

    def close_from_server(self) -> None:
        """Let the server close the connection with code 1001."""
        if self.connections:
            self.log.note("fault", "server closes")
            self.connections[-1].request_close(Close(1001, "the server is going away"))

    def inject(self, frame: Frame) -> None:
        """Insert an event before the next one of the server."""
        self.log.note("fault", "unknown event")
        self._extra.append(msgspec.json.encode(frame).decode())

    # --- looking

    @property
    def is_idle(self) -> bool:
        """Whether no message is under way."""
        under_way = any(direction.due for direction in self._directions)
        return not under_way and trio.current_time() >= self.flows_at

    @property
    def is_down(self) -> bool:
        """Whether the latest connection was lost, or may count as lost."""
        faults = self.log.of("fault")
        return any(fault in ("drop", "server closes", "long stall") for fault in faults)

    @property
    def server_items(self) -> list[Frame]:
        """The server's conversation on the latest connection."""
        return self.connections[-1].items if self.connections else []

    # --- the connector

    @asynccontextmanager
    async def connect(self, options: ConnectOptions) -> AsyncGenerator[Transport]:
        """Open a connection. Pass this method as ``transport=`` to a session."""
        limits = Limits(recorded_frames=0)
        request = ConnectionRequest(headers=options.headers, serial=len(self.connections))
        connection = Connection.of(request, limits)
        self.log.note("connected", len(self.connections))
        self.connections.append(connection)
        client, server = memory_transport_pair(
            max_messages=self._send_buffer,
            max_message_size=options.max_message_size,
            close_timeout=options.close_timeout,
        )
        up, down = self._directions = (_Direction(), _Direction())
        self._server_end = server
        self._repeater = None if self._repeat is None else _Repeater(self._repeat)
        self._extra.clear()
        self.open_transports += 1
        timed = _TimedTransport(client, self, up, down)
        served = _TimedTransport(server, self, down, up)
        async with open_bare_nursery(InternalError) as nursery:
            nursery.start_soon(serve_connection, served, connection, self._server, limits)
            async with self._open_transport(options, timed, client) as transport:
                try:
                    yield transport
                finally:
                    await transport.aclose()

    @asynccontextmanager
    async def _open_transport(
        self, options: ConnectOptions, timed: Transport, memory: MemoryTransport
    ) -> AsyncGenerator[_ClientTransport]:
        if self._transport == "memory":
            yield _ClientTransport(timed, self)
            return
        async with carry(self._transport, options, timed, memory, len(self.connections)) as carried:
            yield _DirectClientTransport(cast("DirectTransport", carried), self)

    async def wait_flow(self) -> None:
        """Wait until a stall ends."""
        while self.flows_at > trio.current_time():  # noqa: ASYNC110 - it may be extended
            await trio.sleep_until(self.flows_at)

    # --- messages

    def sent(self, text: str) -> None:
        """Log a message of the session."""
        self.log.note("out", msgspec.json.decode(text))

    def received(self, text: str) -> str:
        """Log a message of the server, and return what the session reads."""
        frame: Frame = msgspec.json.decode(text)
        if self._extra_fields:
            frame |= {"x_future": {"a": [None, {"b": 1}]}, "x_null": None}
            text = msgspec.json.encode(frame).decode()
        self.texts.append(text)
        if self._repeater is not None:
            self._extra.extend(self._repeater.repeated(frame, text))
        self.log.note("in", frame)
        return text

    def next_extra(self) -> str | None:
        """Return a message that does not come from the server, if there is one."""
        return self._extra.popleft() if self._extra else None


class _Repeater:
    """Repeats messages of responses that have ended."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._seen: dict[str, list[str]] = {}
        self._ended: list[str] = []

    def repeated(self, frame: Frame, text: str) -> list[str]:
        """Return the messages to repeat after this one: none, or one."""
        response_id: Any = frame.get("response_id") or member(frame, "response").get("id")
        if not isinstance(response_id, str):
            return []
        seen = self._seen.setdefault(response_id, [])
        if text not in seen[-20:]:
            seen.append(text)
        if frame["type"] == "response.done" and response_id not in self._ended:
            self._ended.append(response_id)
        if not self._ended or self._random.random() < 0.9:
            return []
        return [self._random.choice(self._seen[self._random.choice(self._ended)])]
