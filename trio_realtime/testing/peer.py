"""A service that does what a test tells it, frame by frame.

The peer speaks the wire, so a test with it pins what really leaves and what really comes in. It
greets and acknowledges settings by itself; everything else is the test's::

    peer = ScriptedPeer()
    async with open_realtime_session(agent, transport=peer.connect, endpoint=TEST_ENDPOINT) as s:
        await s.send_message("Hello")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        peer.say("resp_1", "item_1", "Hi!")
        peer.end_response("resp_1")
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
import pybase64
import trio

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.transports import (
    ConnectOptions,
    Transport,
    TransportClosed,
    memory_transport_pair,
)

Frame = dict[str, Any]

LAST = ""
"""As a predecessor: whichever item came last."""

_PASSED_OVER = ("input_audio_buffer.append", "session.update")

DEFAULT_SESSION: Mapping[str, Any] = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_test",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "instructions": "",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0},
    },
}


class ScriptedPeer:
    """See the module.

    Args:
        session: what ``session.created`` says, over :data:`DEFAULT_SESSION`.
        greet: send ``session.created`` on its own.
        acknowledge: answer each ``session.update`` with ``session.updated`` on its own.

    Attributes:
        dials: what each connection was asked for with.
        received: every frame of the client, in order, over all connections.
        acknowledge: as the argument; may be changed at any time.
    """

    def __init__(
        self,
        *,
        session: Mapping[str, Any] | None = None,
        greet: bool = True,
        acknowledge: bool = True,
    ) -> None:
        self.dials: list[ConnectOptions] = []
        self.received: list[Frame] = []
        self.session: Frame = merged(DEFAULT_SESSION, session or {})
        self._greet = greet
        self.acknowledge: bool = acknowledge
        self._read = 0
        self._arrived = trio.lowlevel.ParkingLot()
        self._end: Transport | None = None
        self._outgoing: list[str | TransportClosed] = []
        self._sendable = trio.lowlevel.ParkingLot()
        self._ids = count(1)
        self._last_item: str | None = None
        self.closed: TransportClosed | None = None

    @asynccontextmanager
    async def connect(self, dial: ConnectOptions) -> AsyncGenerator[Transport]:
        """The connector: give it as ``transport=`` of a session."""
        self.dials.append(dial)
        ours, theirs = memory_transport_pair(close_timeout=dial.close_timeout)
        self._end, self.closed = theirs, None
        waiting, self._outgoing = self._outgoing, []
        async with open_bare_nursery(AssertionError) as nursery:
            # A service does not stop because its client is cancelled.
            serving = trio.CancelScope(shield=True)
            nursery.start_soon(self._serve, serving, theirs)
            if self._greet:
                self.send({"type": "session.created", "session": self.session})
            self._outgoing += waiting
            try:
                yield ours
            finally:
                self._outgoing = []
                with trio.move_on_after(dial.close_timeout, shield=True):
                    await ours.aclose()
                    await self._wait_closed()
                serving.cancel()

    async def _serve(self, scope: trio.CancelScope, end: Transport) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, end)
                nursery.start_soon(self._speak, end)

    async def _listen(self, end: Transport) -> None:
        while True:
            try:
                message = await end.receive()
            except TransportClosed as closed:
                self.closed = closed
                self._arrived.unpark_all()
                return
            self._take(msgspec.json.decode(message))

    async def _wait_closed(self) -> None:
        # All that the client wrote is to stand in `received`.
        while self.closed is None:
            await self._arrived.park()

    def _take(self, frame: Frame) -> None:
        self.received.append(frame)
        if frame["type"] == "session.update" and self.acknowledge:
            self.session = merged(self.session, frame["session"])
            self.send({"type": "session.updated", "session": self.session})
        self._arrived.unpark_all()

    async def _speak(self, end: Transport) -> None:
        while True:
            while not self._outgoing:
                await self._sendable.park()
            message = self._outgoing.pop(0)
            try:
                if isinstance(message, TransportClosed):
                    await end.aclose(message.code, message.reason)
                else:
                    await end.send(message)
            except TransportClosed:
                return

    # --- what the test says

    def send(self, *frames: Mapping[str, Any] | str) -> None:
        """Send frames: objects get an ``event_id`` if they have none; text goes as it is.

        Without a connection, they wait for the next one.
        """
        for frame in frames:
            if isinstance(frame, str):
                self._outgoing.append(frame)
            else:
                whole = {"event_id": f"event_{next(self._ids)}", **frame}
                self._outgoing.append(msgspec.json.encode(whole).decode())
        self._sendable.unpark_all()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, after what was sent before."""
        self._outgoing.append(TransportClosed(code, reason))
        self._sendable.unpark_all()

    # --- what the test expects

    async def next(self) -> Frame:
        """The next frame of the client that no ``next`` or ``expect`` has returned yet.

        Audio and settings are passed over; they stand in :attr:`received`.

        Raises:
            TransportClosed: the client closed before.
        """
        while True:
            while self._read < len(self.received):
                frame = self.received[self._read]
                self._read += 1
                if frame["type"] not in _PASSED_OVER:
                    return frame
            if self.closed is not None:
                raise self.closed
            await self._arrived.park()

    async def expect(self, event_type: str, /, **fields: Any) -> Frame:
        """The next frame, which has to be of this type and have these top-level fields.

        Raises:
            AssertionError: it is another.
        """
        frame = await self.next()
        assert frame["type"] == event_type, f"expected {event_type}, got {frame}"
        for name, value in fields.items():
            assert frame.get(name) == value, f"expected {name}={value!r}, got {frame}"
        return frame

    async def expect_nothing(self) -> None:
        """No frame came, once everybody has done what they can.

        Raises:
            AssertionError: one did.
        """
        await trio.testing.wait_all_tasks_blocked()
        rest = self.received[self._read :]
        unexpected = [f for f in rest if f["type"] not in _PASSED_OVER]
        assert not unexpected, f"expected nothing more, got {unexpected}"

    def sent_types(self) -> list[str]:
        """Types of all frames of the client but audio, in order."""
        return [f["type"] for f in self.received if f["type"] != "input_audio_buffer.append"]

    # --- usual answers

    def add_item(self, item: Mapping[str, Any], previous_item_id: str | None = LAST) -> None:
        """An item joins the conversation and is done at once; after the last one by default."""
        body = {"item": item, "previous_item_id": self._place(item, previous_item_id)}
        self.send({"type": "conversation.item.added", **body})
        self.send({"type": "conversation.item.done", **body})

    def begin_response(
        self,
        response_id: str,
        create: Mapping[str, Any] | None = None,
        *,
        conversation_id: str | None = "conv_test",
    ) -> None:
        """``response.created``; with the create that it answers, its metadata is echoed."""
        response: Frame = (create or {}).get("response") or {}
        metadata = response.get("metadata")
        self.send(
            {
                "type": "response.created",
                "response": response_object(
                    response_id, metadata=metadata, conversation_id=conversation_id
                ),
            }
        )

    def _place(self, item: Mapping[str, Any], previous: str | None) -> str | None:
        last, self._last_item = self._last_item, item["id"]
        return last if previous == LAST else previous

    def open_message(self, response_id: str, item_id: str, previous: str | None = LAST) -> None:
        """The assistant begins a message."""
        item: Frame = {
            "id": item_id,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        self._open(response_id, item, previous)

    def _open(self, response_id: str, item: Frame, previous: str | None) -> None:
        place = self._place(item, previous)
        self.send(
            {"type": "response.output_item.added", "response_id": response_id, "output_index": 0}
            | {"item": item},
            {"type": "conversation.item.added", "item": item, "previous_item_id": place},
        )

    def close_item(self, response_id: str, item: Mapping[str, Any]) -> None:
        """An output item is done, in the conversation and in its response."""
        self.send(
            {"type": "conversation.item.done", "item": item},
            {"type": "response.output_item.done", "response_id": response_id, "output_index": 0}
            | {"item": item},
        )

    def audio(self, response_id: str, item_id: str, pcm: bytes) -> None:
        """One audio delta."""
        self._delta("output_audio", response_id, item_id, pybase64.b64encode_as_string(pcm))

    def transcript(self, response_id: str, item_id: str, text: str) -> None:
        """One delta of the transcript."""
        self._delta("output_audio_transcript", response_id, item_id, text)

    def text(self, response_id: str, item_id: str, text: str) -> None:
        """One delta of text."""
        self._delta("output_text", response_id, item_id, text)

    def _delta(self, stream: str, response_id: str, item_id: str, delta: str) -> None:
        self.send(
            {
                "type": f"response.{stream}.delta",
                "response_id": response_id,
                "item_id": item_id,
                "output_index": 0,
                "content_index": 0,
                "delta": delta,
            }
        )

    def say(self, response_id: str, item_id: str, text: str, *, pcm: bytes = b"") -> None:
        """A whole message: as audio with this transcript if there is ``pcm``, as text if not."""
        self.open_message(response_id, item_id)
        if pcm:
            self.transcript(response_id, item_id, text)
            self.audio(response_id, item_id, pcm)
        else:
            self.text(response_id, item_id, text)
        self.close_item(response_id, message(item_id, text, spoken=bool(pcm)))

    def call(
        self, response_id: str, item_id: str, call_id: str, name: str, arguments: str = "{}"
    ) -> None:
        """A whole function call."""
        item: Frame = {
            "id": item_id,
            "type": "function_call",
            "status": "in_progress",
            "name": name,
            "call_id": call_id,
            "arguments": "",
        }
        self._open(response_id, item, LAST)
        self.close_item(response_id, {**item, "status": "completed", "arguments": arguments})

    def end_response(
        self,
        response_id: str,
        status: str = "completed",
        *,
        reason: str | None = None,
        output: Sequence[Mapping[str, Any]] = (),
        usage: Mapping[str, Any] | None = None,
        conversation_id: str | None = "conv_test",
    ) -> None:
        """``response.done``."""
        details = None if status == "completed" else {"type": status, "reason": reason}
        response = response_object(
            response_id,
            status=status,
            status_details=details,
            output=list(output),
            usage=usage,
            conversation_id=conversation_id,
        )
        self.send({"type": "response.done", "response": response})

    def refuse(self, frame: Mapping[str, Any] | None, code: str, message: str = "refused") -> None:
        """An ``error`` that names the client event at fault, or none."""
        event_id = frame.get("event_id") if frame is not None else None
        self.send(
            {
                "type": "error",
                "error": {
                    "type": "invalid_request_error",
                    "code": code,
                    "message": message,
                    "param": None,
                    "event_id": event_id,
                },
            }
        )

    def user_speaks(self, item_id: str = "item_user", at_ms: int = 0) -> None:
        """Voice activity detection hears the user."""
        self.send(
            {
                "type": "input_audio_buffer.speech_started",
                "item_id": item_id,
                "audio_start_ms": at_ms,
            }
        )


def response_object(response_id: str, **fields: Any) -> Frame:
    """A response with every key that the live service sends."""
    return {
        "object": "realtime.response",
        "id": response_id,
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_test",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy"}},
        "usage": None,
        "metadata": None,
        **fields,
    }


def message(item_id: str, text: str, *, spoken: bool = False) -> Frame:
    """A finished message of the assistant."""
    part = (
        {"type": "output_audio", "transcript": text}
        if spoken
        else {"type": "output_text", "text": text}
    )
    return {
        "id": item_id,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> Frame:
    """A JSON object with another laid over it, objects key by key."""
    result = dict(base)
    for key, value in change.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if both else value  # type: ignore[arg-type]
    return result
