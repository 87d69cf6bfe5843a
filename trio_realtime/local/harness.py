"""A test client of :class:`ServerProtocol` in plain calls, without tasks, sockets or a clock.

Use it to test code against the protocol in virtual time, where the time is a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, Unpack

import msgspec
import pybase64

from .config import ServerConfig, ServerConfigDict
from .protocol import ServerProtocol
from .transcriber import TranscriptionRequest, TranscriptionResult
from .types import Close, ConnectionRequest, Frame, Json, Output

__all__ = ["ProtocolHarness", "types_of"]

LOCAL_REQUEST: Final = ConnectionRequest(headers=(("Authorization", "Bearer local"),))


def types_of(frames: Iterable[Json]) -> list[str]:
    """Return the types of frames."""
    return [frame["type"] for frame in frames]


class ProtocolHarness:
    """An open connection to a server of its own.

    Args:
        connection: the upgrade request; by default one with a valid key.
        settings: fields of :class:`ServerConfig`. ``pacing`` is unlimited by default.

    Attributes:
        now: current time in seconds.
        frames: all events that the server sent.
        closed: how the server closed the connection; None while it is open.
        requests: requests to transcribe audio that :meth:`transcribe` has not answered.
        protocol: the server's side of the connection.
    """

    def __init__(
        self, connection: ConnectionRequest = LOCAL_REQUEST, **settings: Unpack[ServerConfigDict]
    ) -> None:
        settings.setdefault("pacing", math.inf)
        self.now: float = 0.0
        self.frames: list[Json] = []
        self.closed: Close | None = None
        self.requests: list[TranscriptionRequest] = []
        self.protocol: ServerProtocol = ServerProtocol(
            ServerConfig(**settings), connection=connection, now=self.now
        )
        self._record(self.protocol.open(self.now))

    # -- messages and time -----------------------------------------------------------------------

    def send(self, kind: str, /, **fields: Any) -> list[Json]:
        """Send one event. Return the events that the server sends at once."""
        return self.send_raw(msgspec.json.encode({"type": kind, **fields}).decode())

    def send_raw(self, message: str | bytes) -> list[Json]:
        """Send one message unchanged. Return the events that the server sends at once."""
        frames = self._record(self.protocol.receive(message, self.now))
        while self.protocol.is_busy:
            frames += self._record(self.protocol.advance(self.now))
        return frames

    def transcribe(self, result: TranscriptionResult) -> list[Json]:
        """Answer the oldest request to transcribe audio."""
        request = self.requests.pop(0)
        return self._record(self.protocol.transcribed(request.item_id, result, self.now))

    def step(self) -> list[Json]:
        """Advance the time to the next deadline and let the server emit its next events."""
        due = self.protocol.next_deadline()
        if due is None or math.isinf(due):
            return []
        self.now = max(self.now, due)
        return self._record(self.protocol.advance(self.now))

    def run(self, seconds: float = 0.0) -> list[Json]:
        """Advance the time. Return the events that the server sent during this time."""
        end, frames = self.now + seconds, list[Json]()
        while (due := self.protocol.next_deadline()) is not None and due <= end:
            frames += self.step()
        self.now = end
        return frames

    def run_until(self, kind: str) -> list[Json]:
        """Step until the server sends an event of this type. Return all events up to this one.

        Raises:
            LookupError: the server sends no such event within ten minutes.
        """
        frames: list[Json] = []
        while not frames or frames[-1]["type"] != kind:
            due = self.protocol.next_deadline()
            if due is None or due > self.now + 600:
                raise LookupError(f"no {kind} within ten minutes, only {types_of(frames)}")
            for frame in self.step():
                frames.append(frame)
                if frame["type"] == kind:
                    return frames
        return frames

    # -- common operations -----------------------------------------------------------------------

    def update(self, **session: Any) -> list[Json]:
        """Send a ``session.update`` of the same session type."""
        return self.send("session.update", session={"type": self.session["type"], **session})

    def say(self, text: str, **fields: Any) -> Json:
        """Add a text message of the user. Return its item."""
        item = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": text}],
        }
        added: Json = self.send("conversation.item.create", item=item, **fields)[0]["item"]
        return added

    def append(self, audio: bytes) -> list[Json]:
        """Append input audio."""
        return self.send("input_audio_buffer.append", audio=pybase64.b64encode(audio).decode())

    def respond(self, **response: Any) -> list[Json]:
        """Create a response and run it to its end."""
        fields: Json = {"response": response} if response else {}
        return self.send("response.create", **fields) + self.run()

    @property
    def session(self) -> Json:
        """The effective session object."""
        return self.protocol.session

    def of_type(self, *kinds: str) -> list[Json]:
        """Return all events of these types so far."""
        return [frame for frame in self.frames if frame["type"] in kinds]

    def _record(self, outputs: Sequence[Output]) -> list[Json]:
        frames: list[Json] = []
        for output in outputs:
            match output:
                case Frame(data=data):
                    frames.append(data)
                case TranscriptionRequest():
                    self.requests.append(output)
                case Close():
                    self.closed = output
        self.frames += frames
        return frames
