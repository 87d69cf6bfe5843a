"""Talk to a :class:`ServerConnection` by hand: a client in plain calls, without tasks, sockets or a clock.

For tests of code against the protocol, where virtual time is a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, Unpack

import msgspec
import pybase64

from .config import ServiceOptions, ServiceSettings
from .service import ServerConnection
from .types import Close, ConnectionRequest, Json, Output

__all__ = ["ProtocolHarness", "types_of"]

LOCAL_REQUEST: Final = ConnectionRequest(headers=(("Authorization", "Bearer local"),))


def types_of(frames: Iterable[Json]) -> list[str]:
    """The wire types of frames."""
    return [frame["type"] for frame in frames]


class ProtocolHarness:
    """One connection to a service of its own, already open.

    ``frames`` has everything the service sent, ``closed`` its close, ``now`` the time in seconds.

    Args:
        connection: the upgrade request; by default one that is let in.
        settings: see :class:`ServiceOptions`; pacing is unlimited unless given.
    """

    def __init__(
        self, connection: ConnectionRequest = LOCAL_REQUEST, **settings: Unpack[ServiceSettings]
    ) -> None:
        settings.setdefault("pacing", math.inf)
        self.now: float = 0.0
        self.frames: list[Json] = []
        self.closed: Close | None = None
        self.service: ServerConnection = ServerConnection(
            ServiceOptions(**settings), connection=connection, now=self.now
        )
        self._take(self.service.open(self.now))

    # -- driving -------------------------------------------------------------------------------

    def send(self, kind: str, /, **fields: Any) -> list[Json]:
        """Send one event; returns what is answered at once."""
        return self.send_raw(msgspec.json.encode({"type": kind, **fields}).decode())

    def send_raw(self, message: str | bytes) -> list[Json]:
        """Send one message as it is."""
        return self._take(self.service.receive(message, self.now))

    def step(self) -> list[Json]:
        """Go to the next deadline and let the service emit one piece."""
        due = self.service.next_deadline()
        if due is None or math.isinf(due):
            return []
        self.now = max(self.now, due)
        return self._take(self.service.advance(self.now))

    def run(self, seconds: float = 0.0) -> list[Json]:
        """Let so many seconds go by; returns everything that was sent meanwhile."""
        end, frames = self.now + seconds, list[Json]()
        while (due := self.service.next_deadline()) is not None and due <= end:
            frames += self.step()
        self.now = end
        return frames

    def run_until(self, kind: str) -> list[Json]:
        """Step until a frame of this type comes; returns what came, that frame last.

        Raises:
            LookupError: there is nothing left to wait for.
        """
        frames: list[Json] = []
        while not frames or frames[-1]["type"] != kind:
            due = self.service.next_deadline()
            if due is None or due > self.now + 600:
                raise LookupError(f"no {kind} within ten minutes, only {types_of(frames)}")
            for frame in self.step():
                frames.append(frame)
                if frame["type"] == kind:
                    return frames
        return frames

    # -- the usual things ----------------------------------------------------------------------

    def update(self, **session: Any) -> list[Json]:
        """Send a ``session.update`` of this session's type."""
        return self.send("session.update", session={"type": self.session["type"], **session})

    def say(self, text: str, **fields: Any) -> Json:
        """Add a user's text message; returns its item."""
        item = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": text}],
        }
        added: Json = self.send("conversation.item.create", item=item, **fields)[0]["item"]
        return added

    def append(self, audio: bytes) -> list[Json]:
        """Write input audio."""
        return self.send("input_audio_buffer.append", audio=pybase64.b64encode(audio).decode())

    def respond(self, **response: Any) -> list[Json]:
        """Ask for a response and let it run to its end."""
        fields: Json = {"response": response} if response else {}
        return self.send("response.create", **fields) + self.run()

    @property
    def session(self) -> Json:
        """The session as it is now."""
        return self.service.session

    def of_type(self, *kinds: str) -> list[Json]:
        """All frames of these types so far."""
        return [frame for frame in self.frames if frame["type"] in kinds]

    def _take(self, outputs: Sequence[Output]) -> list[Json]:
        frames: list[Json] = []
        for output in outputs:
            if isinstance(output, Close):
                self.closed = output
            else:
                frames.append(output.data)
        self.frames += frames
        return frames
