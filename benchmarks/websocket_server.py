"""The base of the load servers: WebSocket connections without a WebSocket library.

Frames are written from bytes, and of the client's audio only the headers and the first characters are read. asyncio's bare
protocols are the fastest way to do that in Python. A server prints the port that it listens on, and
serves until end-of-file on its standard input. It answers a plain GET with what it has measured.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - a server must be faster than every client
import base64
import hashlib
import json
import ssl
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from benchmarks.burst import frames as fr

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SMALLEST_AUDIO: Final = 900
"""A shorter message of the client is no audio: even 20 ms have 1,280 characters."""

BEGINNING: Final = 128
"""Bytes of a longer message that say whether it is audio."""


def frame(payload: bytes) -> bytes:
    """Return a text frame of the server."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return bytes((0x81, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x81, 127)) + size.to_bytes(8, "big") + payload


def unmask(data: bytes, mask: bytes) -> bytes:
    """Return the payload of a frame of the client."""
    key = int.from_bytes((mask * (len(data) // 4 + 1))[: len(data)])
    return (int.from_bytes(data) ^ key).to_bytes(len(data))


def is_audio(beginning: bytes) -> bool:
    """Whether a message is a frame of the microphone. Clients differ in the order of its members."""
    return beginning.startswith(b'{"audio"') or b'"input_audio_buffer.append"' in beginning


def frames_of(*events: fr.Frame) -> bytes:
    """Return the text frames of events."""
    return b"".join(frame(fr.encode(one).encode()) for one in events)


class Connection(asyncio.Protocol, ABC):
    """The connection of one session. A subclass answers what the client sends.

    Args:
        interrupts: whether the service cancels a response when the user speaks.

    Attributes:
        transport: where to write frames.
    """

    transport: Any

    def __init__(self, *, interrupts: bool = True) -> None:
        self._session = partial(fr.session_frame, interrupts=interrupts)
        self._data = bytearray()
        self._is_open = False
        self._items: list[str | None] = [None]

    # --- for subclasses

    @abstractmethod
    def respond(self, metadata: Any) -> None:
        """Answer a ``response.create``."""

    def hear(self) -> None:
        """Take a frame of the microphone."""

    def take(self, message: dict[str, Any]) -> None:
        """Take any other message."""

    def figures(self) -> dict[str, float]:
        """Return what was measured since the last call."""
        return {}

    def send(self, *events: fr.Frame) -> None:
        """Write events."""
        self.transport.write(frames_of(*events))

    def add_item(self, item_id: str) -> str | None:
        """Append an item to the conversation. Returns the id of the item before it."""
        self._items.append(item_id)
        return self._items[-2]

    # --- the protocol

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._is_open and not self._accept():
            return
        while (message := self._next_frame()) is not None:
            self._handle(*message)

    def _accept(self) -> bool:
        head, found, rest = bytes(self._data).partition(b"\r\n\r\n")
        if not found:
            return False
        lines = head.split(b"\r\n")
        keys = [one for one in lines if one.lower().startswith(b"sec-websocket-key")]
        if not keys:
            self._send_figures()
            return False
        key = keys[0].split(b": ", 1)[1]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self._data = bytearray(rest)
        self._is_open = True
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.send(self._session("session.created"))
        return True

    def _send_figures(self) -> None:
        body = json.dumps(self.figures()).encode()
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
        )
        self.transport.close()

    def _next_frame(self) -> tuple[int, bytes | None] | None:
        """Take a frame off the data. The payload of audio is not read."""
        data = self._data
        if len(data) < 6:
            return None
        size, begin = data[1] & 0x7F, 6
        if size == 126:
            size, begin = int.from_bytes(data[2:4], "big"), 8
        elif size == 127:
            size, begin = int.from_bytes(data[2:10], "big"), 14
        if len(data) < begin + size:
            return None
        opcode = data[0] & 0x0F
        payload: bytes | None = None
        mask, end = bytes(data[begin - 4 : begin]), begin + size
        if (
            opcode != 1
            or size < SMALLEST_AUDIO
            or not is_audio(unmask(bytes(data[begin : begin + BEGINNING]), mask))
        ):
            payload = unmask(bytes(data[begin:end]), mask)
        del data[:end]
        return opcode, payload

    def _handle(self, opcode: int, payload: bytes | None) -> None:
        if payload is None:
            self.hear()
        elif opcode == 1:
            self._answer(json.loads(payload))
        elif opcode == 9:
            self.transport.write(bytes((0x8A, len(payload))) + payload)
        elif opcode == 8:
            self.transport.write(bytes((0x88, len(payload))) + payload)
            self.transport.close()

    def _answer(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "session.update"}:
                self.send(self._session("session.updated"))
            case {"type": "conversation.item.create", "item": item}:
                self.take(message)
                previous = self.add_item(item.get("id") or f"item_user{len(self._items):017}")
                self.send(*fr.item_frames({**item, "id": self._items[-1]}, previous))
            case {"type": "response.create"}:
                self.respond(message.get("response", {}).get("metadata"))
            case _:
                self.take(message)


def serve(make_connection: Callable[[], Connection], certificate: str | None = None) -> None:
    """Serve until end-of-file on the standard input.

    Args:
        make_connection: makes the protocol of a connection.
        certificate: the file of a certificate with its key, for TLS.
    """
    asyncio.run(_serve(make_connection, certificate))


async def _serve(make_connection: Callable[[], Connection], certificate: str | None) -> None:
    loop = asyncio.get_running_loop()
    context: ssl.SSLContext | None = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    server = await loop.create_server(make_connection, "127.0.0.1", 0, backlog=1000, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
