"""Everything that happened in a session, in one line of time: frames both ways, and what tools did."""

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
class Entry:
    """What happened: a frame ``"in"`` or ``"out"``, or a word of a test's own and what it is about."""

    time: float
    what: str
    about: Any


class Timeline:
    """Wraps a connector and writes down what passes.

    Args:
        connector: what is really connected with.
        late: seed of frames that come once more when their response has ended; ``None`` for none.
    """

    def __init__(self, connector: Connector, *, late: int | None = None) -> None:
        self.entries: list[Entry] = []
        self._connector = connector
        self._random = None if late is None else random.Random(late)
        self._seen: dict[str, list[str]] = {}
        self._ended: list[str] = []

    def note(self, what: str, about: Any) -> None:
        """Something else happened."""
        self.entries.append(Entry(trio.current_time(), what, about))

    def frames(self, direction: str) -> list[Frame]:
        """All frames in this direction."""
        return [entry.about for entry in self.entries if entry.what == direction]

    @asynccontextmanager
    async def connect(self, dial: ConnectOptions) -> AsyncGenerator[Transport]:
        """Give it as ``transport=`` of a session."""
        async with self._connector(dial) as transport:
            yield _Tap(transport, self)

    def passes(self, direction: str, message: str | bytes) -> None:
        """A message passes."""
        self.note(direction, msgspec.json.decode(message))

    def late_message(self, message: str) -> str | None:
        """What comes late after this message."""
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


class _Tap:
    def __init__(self, transport: Transport, timeline: Timeline) -> None:
        self._transport = transport
        self._timeline = timeline
        self._late: str | None = None

    async def send(self, text: str) -> None:
        # Before it is sent: what it brings about must not stand before it.
        self._timeline.passes("out", text)
        await self._transport.send(text)

    async def receive(self) -> str | bytes:
        if self._late is not None:
            message, self._late = self._late, None
            return message
        received = await self._transport.receive()
        self._timeline.passes("in", received)
        self._late = self._timeline.late_message(str(received))
        return received

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self._transport.aclose(code, reason)
