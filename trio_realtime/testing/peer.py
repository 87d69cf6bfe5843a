"""A scripted service, which a test controls frame by frame.

The peer exchanges JSON frames with the session, so a test checks the frames that are actually sent
and received. By default it sends ``session.created`` and acknowledges settings on its own. The test
sends everything else::

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
"""As a ``previous_item_id``: the most recently added item."""

_IGNORED_TYPES = ("input_audio_buffer.append", "session.update")

DEFAULT_SESSION: Mapping[str, Any] = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_test",
    "model": "gpt-realtime-2.1",
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
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
    },
}


class ScriptedPeer:
    """A scripted service for tests. Pass its :meth:`connect` method as ``transport=``.

    Args:
        session: The session object of ``session.created``, merged into :data:`DEFAULT_SESSION`.
        greet: Whether to send ``session.created`` automatically.
        acknowledge: Whether to answer each ``session.update`` with ``session.updated``
            automatically.

    Attributes:
        connections: The options of each connection.
        received: All frames of the client, in order, over all connections.
        session: The current session object.
        acknowledge: The argument; may be changed at any time.
        closed: The error that ended the current connection; ``None`` while it is open.
    """

    def __init__(
        self,
        *,
        session: Mapping[str, Any] | None = None,
        greet: bool = True,
        acknowledge: bool = True,
    ) -> None:
        self.connections: list[ConnectOptions] = []
        self.received: list[Frame] = []
        self.session: Frame = _merge_objects(DEFAULT_SESSION, session or {})
        self._greet = greet
        self.acknowledge: bool = acknowledge
        self._read_count = 0
        self._received_more = trio.lowlevel.ParkingLot()
        self._outgoing: list[str | TransportClosed] = []
        self._can_send = trio.lowlevel.ParkingLot()
        self._ids = count(1)
        self._last_item: str | None = None
        self.closed: TransportClosed | None = None

    @asynccontextmanager
    async def connect(self, options: ConnectOptions) -> AsyncGenerator[Transport]:
        """Open a connection to the peer. Pass this method as ``transport=`` to a session."""
        self.connections.append(options)
        client_end, service_end = memory_transport_pair(close_timeout=options.close_timeout)
        self.closed = None
        queued, self._outgoing = self._outgoing, []
        async with open_bare_nursery(AssertionError) as nursery:
            # Cancelling the client must not stop the service.
            service_scope = trio.CancelScope(shield=True)
            nursery.start_soon(self._serve, service_scope, service_end)
            if self._greet:
                self.send({"type": "session.created", "session": self.session})
            self._outgoing += queued
            try:
                yield client_end
            finally:
                self._outgoing = []
                with trio.move_on_after(options.close_timeout, shield=True):
                    await client_end.aclose()
                    await self._wait_closed()
                service_scope.cancel()

    async def _serve(self, scope: trio.CancelScope, transport: Transport) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_reader, transport)
                nursery.start_soon(self._run_writer, transport)

    async def _run_reader(self, transport: Transport) -> None:
        while True:
            try:
                message = await transport.receive()
            except TransportClosed as closed:
                self.closed = closed
                self._received_more.unpark_all()
                return
            self._handle_frame(msgspec.json.decode(message))

    async def _wait_closed(self) -> None:
        # Ensures that `received` contains all frames that the client sent.
        while self.closed is None:
            await self._received_more.park()

    def _handle_frame(self, frame: Frame) -> None:
        self.received.append(frame)
        if frame["type"] == "session.update" and self.acknowledge:
            self.session = _merge_objects(self.session, frame["session"])
            self.send({"type": "session.updated", "session": self.session})
        self._received_more.unpark_all()

    async def _run_writer(self, transport: Transport) -> None:
        while True:
            while not self._outgoing:
                await self._can_send.park()
            message = self._outgoing.pop(0)
            try:
                if isinstance(message, TransportClosed):
                    await transport.aclose(message.code, message.reason)
                else:
                    await transport.send(message)
            except TransportClosed:
                return

    # --- sending

    def send(self, *frames: Mapping[str, Any] | str) -> None:
        """Send frames. A frame without an ``event_id`` gets one; a str is sent unchanged.

        Without a connection, the frames are queued for the next one.
        """
        for frame in frames:
            if isinstance(frame, str):
                self._outgoing.append(frame)
            else:
                event = {"event_id": f"event_{next(self._ids)}", **frame}
                self._outgoing.append(msgspec.json.encode(event).decode())
        self._can_send.unpark_all()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection after all frames that were sent before."""
        self._outgoing.append(TransportClosed(code, reason))
        self._can_send.unpark_all()

    # --- receiving

    async def next(self) -> Frame:
        """Wait for the next frame of the client and return it.

        Audio and settings are skipped; :attr:`received` contains them.

        Raises:
            TransportClosed: The client closed the connection first.
        """
        while True:
            while self._read_count < len(self.received):
                frame = self.received[self._read_count]
                self._read_count += 1
                if frame["type"] not in _IGNORED_TYPES:
                    return frame
            if self.closed is not None:
                raise self.closed
            await self._received_more.park()

    async def expect(self, event_type: str, /, **fields: Any) -> Frame:
        """Wait for the next frame and check its type and top-level fields.

        Raises:
            AssertionError: The frame has another type or another value of a field.
            TransportClosed: The client closed the connection first.
        """
        frame = await self.next()
        assert frame["type"] == event_type, f"expected {event_type}, got {frame}"
        for name, value in fields.items():
            assert frame.get(name) == value, f"expected {name}={value!r}, got {frame}"
        return frame

    async def expect_nothing(self) -> None:
        """Wait until all tasks are blocked, and check that the client sent no further frame.

        Raises:
            AssertionError: The client sent a frame.
        """
        await trio.testing.wait_all_tasks_blocked()
        unread = self.received[self._read_count :]
        unexpected = [frame for frame in unread if frame["type"] not in _IGNORED_TYPES]
        assert not unexpected, f"expected nothing more, got {unexpected}"

    def sent_types(self) -> list[str]:
        """Return the types of all frames of the client except audio, in order."""
        types = [frame["type"] for frame in self.received]
        return [kind for kind in types if kind != "input_audio_buffer.append"]

    # --- common events

    def add_item(self, item: Mapping[str, Any], previous_item_id: str | None = LAST) -> None:
        """Add a complete item to the conversation, by default after the last one."""
        body = {"item": item, "previous_item_id": self._resolve_previous(item, previous_item_id)}
        self.send({"type": "conversation.item.added", **body})
        self.send({"type": "conversation.item.done", **body})

    def begin_response(
        self,
        response_id: str,
        create: Mapping[str, Any] | None = None,
        *,
        conversation_id: str | None = "conv_test",
    ) -> None:
        """Send ``response.created``.

        Args:
            response_id: The id of the response.
            create: The ``response.create`` frame to answer. Its metadata is echoed.
            conversation_id: ``None`` for an out-of-band response.
        """
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

    def _resolve_previous(self, item: Mapping[str, Any], previous: str | None) -> str | None:
        last, self._last_item = self._last_item, item["id"]
        return last if previous == LAST else previous

    def open_message(self, response_id: str, item_id: str, previous: str | None = LAST) -> None:
        """Start a message of the assistant."""
        item: Frame = {
            "id": item_id,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        self._open_item(response_id, item, previous)

    def _open_item(self, response_id: str, item: Frame, previous: str | None) -> None:
        previous_item_id = self._resolve_previous(item, previous)
        self.send(
            {"type": "response.output_item.added", "response_id": response_id, "output_index": 0}
            | {"item": item},
            {"type": "conversation.item.added", "item": item}
            | {"previous_item_id": previous_item_id},
        )

    def close_item(self, response_id: str, item: Mapping[str, Any]) -> None:
        """Complete an output item, in the conversation and in its response."""
        self.send(
            {"type": "conversation.item.done", "item": item},
            {"type": "response.output_item.done", "response_id": response_id, "output_index": 0}
            | {"item": item},
        )

    def audio(self, response_id: str, item_id: str, pcm: bytes) -> None:
        """Send one audio delta."""
        self._delta("output_audio", response_id, item_id, pybase64.b64encode_as_string(pcm))

    def transcript(self, response_id: str, item_id: str, text: str) -> None:
        """Send one transcript delta."""
        self._delta("output_audio_transcript", response_id, item_id, text)

    def text(self, response_id: str, item_id: str, text: str) -> None:
        """Send one text delta."""
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
        """Send a complete message: text, or audio with ``text`` as its transcript if given ``pcm``."""
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
        """Send a complete function call."""
        item: Frame = {
            "id": item_id,
            "type": "function_call",
            "status": "in_progress",
            "name": name,
            "call_id": call_id,
            "arguments": "",
        }
        self._open_item(response_id, item, LAST)
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
        """Send ``response.done``."""
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

    def reject(self, frame: Mapping[str, Any] | None, code: str, message: str = "rejected") -> None:
        """Send an ``error`` that rejects ``frame``, or names no client event if it is ``None``."""
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

    def start_user_speech(self, item_id: str = "item_user", at_ms: int = 0) -> None:
        """Send ``input_audio_buffer.speech_started``, at ``at_ms`` milliseconds."""
        self.send(
            {
                "type": "input_audio_buffer.speech_started",
                "item_id": item_id,
                "audio_start_ms": at_ms,
            }
        )


def response_object(response_id: str, **fields: Any) -> Frame:
    """Return a response object with all keys that the live service sends."""
    return {
        "object": "realtime.response",
        "id": response_id,
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_test",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}},
        "usage": None,
        "metadata": None,
        **fields,
    }


def message(item_id: str, text: str, *, spoken: bool = False) -> Frame:
    """Return the item of a complete assistant message."""
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


def _merge_objects(base: Mapping[str, Any], change: Mapping[str, Any]) -> Frame:
    """Merge two JSON objects recursively. The values of ``change`` take precedence."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        are_objects = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _merge_objects(old, value) if are_objects else value  # type: ignore[arg-type]
    return result
