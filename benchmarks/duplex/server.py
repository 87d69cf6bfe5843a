"""The load server of sessions that send and receive.

It has no WebSocket library: frames are written from bytes that were built in advance, and of the client's
audio only the headers and the first characters are read. asyncio's bare protocols are the fastest way to do
that in Python.

``python -m benchmarks.duplex.server LOAD [CERTIFICATE]``, with the load as JSON, prints the port that it listens
on, and serves until end-of-file on stdin.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the server must be faster than every client
import base64
import hashlib
import json
import random
import ssl
import sys
import time
from itertools import count
from typing import Any, final

from benchmarks.burst import frames as fr
from benchmarks.duplex.load import STAMP, DuplexLoad

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SMALLEST_AUDIO = 900
"""A shorter message of the client is no audio: even 20 ms have 1,280 characters."""
BEGINNING = 128
"""Bytes of a longer message that say whether it is audio."""
RESPONSE, ITEM = "resp_" + "0" * 21, "item_" + "0" * 21


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


class Deltas:
    """The frame of a delta, whose audio begins with the time."""

    def __init__(self, size: int) -> None:
        ids = {"response_id": RESPONSE, "item_id": ITEM, "output_index": 0, "content_index": 0}
        noise = random.Random(1).randbytes(size)
        audio = base64.b64encode(noise).decode()
        text = fr.encode({"type": "response.output_audio.delta", **ids, "delta": audio})
        whole = frame(text.encode())
        begin = whole.index(audio.encode())
        self._head, self._tail = whole[:begin], whole[begin + 12 :]
        self._ninth = noise[8:9]

    def next(self) -> bytes:
        """Return a frame with the current time."""
        stamp = base64.b64encode(STAMP.pack(time.monotonic()) + self._ninth)
        return self._head + stamp + self._tail


@final
class Connection(asyncio.Protocol):
    """The connection of one session."""

    _numbers = count()

    def __init__(self, load: DuplexLoad, deltas: Deltas) -> None:
        self._load = load
        self._deltas = deltas
        self._data = bytearray()
        self._is_open = False
        self._items: list[str | None] = [None]
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._left = load.frames

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is that of the protocol
        if self._timer is not None:
            self._timer.cancel()

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
        key = next(
            line.split(b": ", 1)[1]
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self._data = bytearray(rest)
        self._is_open = True
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._send(fr.session_frame("session.created"))
        return True

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
            self._heard()
        elif opcode == 1:
            self._answer(json.loads(payload))
        elif opcode == 9:
            self._transport.write(bytes((0x8A, len(payload))) + payload)
        elif opcode == 8:
            self._transport.write(bytes((0x88, len(payload))) + payload)
            self._transport.close()

    def _answer(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "session.update"}:
                self._send(fr.session_frame("session.updated"))
            case {"type": "conversation.item.create", "item": item}:
                previous = self._next_item(f"item_user{len(self._items):017}")
                self._send(*fr.item_frames({**item, "id": self._items[-1]}, previous))
            case {"type": "response.create"}:
                metadata = message.get("response", {}).get("metadata")
                previous = self._next_item(ITEM)
                self._send(*fr.opening_frames(RESPONSE, ITEM, previous, metadata))
                if self._load.mode == "lock":
                    self._send_delta()
            case _:
                pass

    def _next_item(self, item_id: str) -> str | None:
        self._items.append(item_id)
        return self._items[-2]

    def _heard(self) -> None:
        """Answer a frame of the microphone; in ``paced`` mode, the first one starts the timer."""
        if self._load.mode == "lock":
            self._send_delta()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            # All sessions are spread over one interval.
            interval = self._load.frame_ms / 1000
            self._due = loop.time() + interval * (next(self._numbers) * 0.618 % 1)
            self._timer = loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._send_delta()
        self._left -= 1
        if not self._left:
            return
        self._due += self._load.frame_ms / 1000
        self._timer = asyncio.get_running_loop().call_at(self._due, self._tick)

    def _send_delta(self) -> None:
        self._transport.write(self._deltas.next())

    def _send(self, *frames: fr.Frame) -> None:
        self._transport.write(b"".join(frame(fr.encode(one).encode()) for one in frames))


async def _main(load: DuplexLoad, certificate: str | None = None) -> None:
    loop = asyncio.get_running_loop()
    deltas = Deltas(load.frame_bytes)
    context: ssl.SSLContext | None = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    server = await loop.create_server(
        lambda: Connection(load, deltas), "127.0.0.1", 0, backlog=1000, ssl=context
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_main(DuplexLoad(**json.loads(sys.argv[1])), *sys.argv[2:]))
