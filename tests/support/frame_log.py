"""A log of a session in order of time: frames in both directions, and actions of tools."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import attrs
import msgspec
import trio

from trio_realtime.transports import ConnectOptions, Connector, Transport

Frame: TypeAlias = dict[str, Any]


@attrs.frozen
class LogEntry:
    """An entry of the log. ``what`` is ``"in"`` or ``"out"`` for a frame, or chosen by the test."""

    time: float
    what: str
    about: Any


class FrameLog:
    """A log of a session. It wraps a connector and records all frames.

    Args:
        connector: The connector to wrap.
        late: A seed for repeating random frames after their response has ended. ``None`` repeats
            none.
    """

    def __init__(self, connector: Connector, *, late: int | None = None) -> None:
        self.entries: list[LogEntry] = []
        self._connector = connector
        self._random = None if late is None else random.Random(late)
        self._seen: dict[str, list[str]] = {}
        self._ended: list[str] = []

    def note(self, what: str, about: Any) -> None:
        """Add an entry that is not a frame."""
        self.entries.append(LogEntry(trio.current_time(), what, about))

    def frames(self, direction: str) -> list[Frame]:
        """Return all frames of one direction."""
        return [entry.about for entry in self.entries if entry.what == direction]

    @asynccontextmanager
    async def connect(self, options: ConnectOptions) -> AsyncGenerator[Transport]:
        """Open a connection. Pass this method as ``transport=`` to a session."""
        async with self._connector(options) as transport:
            yield _RecordingTransport(transport, self)

    def record_message(self, direction: str, message: str | bytes) -> None:
        """Record a message."""
        self.note(direction, msgspec.json.decode(message))

    def late_message(self, message: str) -> str | None:
        """Return a message to repeat after this message, if any."""
        frame = msgspec.json.decode(message)
        match frame:
            case {"response_id": response_id} | {"response": {"id": response_id}}:
                self._seen.setdefault(response_id, []).append(message)
            case _:
                pass
        if frame["type"] == "response.done":
            self._ended.append(frame["response"]["id"])
        if self._random is None or not self._ended or self._random.random() < 0.8:
            return None
        return self._random.choice(self._seen[self._random.choice(self._ended)])


class _RecordingTransport:
    """A transport that records all messages in a log."""

    def __init__(self, transport: Transport, log: FrameLog) -> None:
        self._transport = transport
        self._log = log
        self._late: str | None = None

    async def send(self, text: str) -> None:
        # Recorded before it is sent, so that its effects come later in the log.
        self._log.record_message("out", text)
        await self._transport.send(text)

    async def receive(self) -> str | bytes:
        if self._late is not None:
            message, self._late = self._late, None
            return message
        received = await self._transport.receive()
        self._log.record_message("in", received)
        self._late = self._log.late_message(str(received))
        return received

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self._transport.aclose(code, reason)
