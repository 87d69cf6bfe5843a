"""The protocol engine of a client's WebSocket: wsproto, with a fast path for the usual frames.

Nearly every frame of a realtime service is one whole text message, and wsproto spends many steps on each. Here
such frames are cut out of the data directly. Every other frame (fragments, binary messages, pings, close
frames, and whatever breaks the protocol) goes to wsproto, byte for byte, so wsproto decides about it.

What both ends send is framed here too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final, final

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Event, TextMessage

__all__ = [
    "ClientEngine",
    "FrameSplitter",
    "masked_frame",
    "unmasked_binary_frame",
    "unmasked_frame",
]

_TEXT: Final = 0x81
"""The first byte of a text message in one frame (RFC 6455, section 5.2)."""
_BINARY: Final = 0x82
"""The first byte of a binary message in one frame."""
_FINAL, _OPCODE, _MASKED, _CONTROL = 0x80, 0x0F, 0x80, 0x08


@final
class FrameSplitter:
    """Separates whole text messages from all other frames.

    Args:
        max_size: The number of bytes of a message above which it is none of the usual ones.

    Attributes:
        has_message: Whether a part of a message has arrived since this was last set to ``False``.
    """

    def __init__(self, max_size: int) -> None:
        self.has_message: bool = False
        self._max_size = max_size
        self._waiting: list[bytes] = []  # the beginning of a frame
        self._missing = 0  # the bytes of the frame that must arrive before it is looked at again
        self._left = 0  # the bytes of a frame of another kind that have not arrived
        self._is_left_message = False
        self._is_fragmented = False

    def feed(self, data: bytes) -> list[str | bytes]:
        """Return what the data completes, in order: text messages, and the bytes of other frames."""
        if not (self._waiting or self._left or self._is_fragmented):
            text = _only_message(data, self._max_size)
            if text is not None:
                self.has_message = True
                return [text]
        return self._split(data)

    def _split(self, data: bytes) -> list[str | bytes]:
        if self._waiting:
            self._waiting.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                self.has_message = True  # only a message misses more than its header
                return []
            data = b"".join(self._waiting)
            self._waiting = []
        pieces: list[str | bytes] = []
        begin, end = 0, len(data)
        while begin < end:
            if self._left:
                stop = min(begin + self._left, end)
                pieces.append(data[begin:stop])
                self._left -= stop - begin
                self.has_message |= self._is_left_message
                begin = stop
                continue
            size, head = _header(data, begin, end)
            if not head:
                self._wait(data[begin:], 1)
                break
            if self._is_usual(data[begin], data[begin + 1], size, head):
                self.has_message = True
                stop = begin + head + size
                if stop > end:
                    self._wait(data[begin:], stop - end)
                    break
                try:
                    pieces.append(data[begin + head : stop].decode())
                except UnicodeDecodeError:
                    pass  # wsproto says what is wrong
                else:
                    begin = stop
                    continue
            self._begin_other(data[begin], data[begin + 1], head + size)
        return pieces

    def _wait(self, beginning: bytes, missing: int) -> None:
        self._waiting, self._missing = [beginning], missing

    def _is_usual(self, first: int, second: int, size: int, head: int) -> bool:
        return (
            first == _TEXT
            and not second & _MASKED
            and size <= self._max_size
            and not self._is_fragmented
            # The shortest form of the size, as the protocol demands.
            and (head == 2 or size >= (126 if head == 4 else 65536))
        )

    def _begin_other(self, first: int, second: int, size: int) -> None:
        self._left = size + (4 if second & _MASKED else 0)
        self._is_left_message = not first & _CONTROL
        if self._is_left_message:
            self._is_fragmented = not first & _FINAL


def _only_message(data: bytes, max_size: int) -> str | None:
    """Return the text of one usual frame of medium size, if the data is exactly that."""
    if len(data) < 4 or data[0] != _TEXT or data[1] != 126:
        return None
    size = data[2] << 8 | data[3]
    if size + 4 != len(data) or not 126 <= size <= max_size:
        return None
    try:
        return data[4:].decode()
    except UnicodeDecodeError:
        return None


def _header(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Return the sizes of the payload and of the header without the mask; ``0, 0`` if it is incomplete."""
    if end - begin < 2:
        return 0, 0
    size = data[begin + 1] & 0x7F
    if size < 126:
        return size, 2
    head = 4 if size == 126 else 10
    if end - begin < head:
        return 0, 0
    return int.from_bytes(data[begin + 2 : begin + head], "big"), head


@final
class ClientEngine:
    """A :class:`wsproto.WSConnection` of a client. It has the members that trio-websocket uses.

    Args:
        max_size: The size of a message above which wsproto gets its frame.
    """

    client: Final = True

    def __init__(self, max_size: int) -> None:
        self._engine = WSConnection(ConnectionType.CLIENT)
        self._splitter = FrameSplitter(max_size)
        self._events: list[Event] = []
        self._is_connecting = True
        self._is_closed_by_peer = False

    @property
    def state(self) -> ConnectionState:
        """The state of the connection."""
        return self._engine.state

    def send(self, event: Event) -> bytes:
        """Return the bytes of an event.

        Raises:
            LocalProtocolError: The event is not allowed in this state.
        """
        if type(event) is TextMessage and event.message_finished and self.is_open:
            return masked_frame(event.data.encode())
        return self._engine.send(event)

    @property
    def is_open(self) -> bool:
        """Whether neither side has begun to close the connection."""
        return self._engine.state is ConnectionState.OPEN

    def receive_data(self, data: bytes | None) -> None:
        """Take data of the server, for :meth:`events`; see :meth:`feed`."""
        for received in self.feed(data):
            self._events.append(
                TextMessage(data=received) if isinstance(received, str) else received
            )

    def feed(self, data: bytes | None) -> list[str | Event]:
        """Take data of the server; ``None`` is its end. The response to the upgrade must come alone.

        Returns:
            What has arrived: whole text messages as ``str``, and events.

        Raises:
            RemoteProtocolError: The server breaks the protocol.
        """
        received: list[str | Event] = []
        if data is None or self._is_connecting:
            self._feed_engine(data, received)
            self._is_connecting = self._engine.state is ConnectionState.CONNECTING
            return received
        for piece in self._splitter.feed(data):
            if isinstance(piece, bytes):
                self._feed_engine(piece, received)
                if self._is_closed_by_peer:
                    break  # what is received is not lost if wsproto refuses what follows
            elif not self._is_closed_by_peer:
                received.append(piece)
        return received

    def take_has_message(self) -> bool:
        """Return whether a part of a message has arrived since the last call."""
        has_message = self._splitter.has_message
        self._splitter.has_message = False
        return has_message

    def _feed_engine(self, data: bytes | None, received: list[str | Event]) -> None:
        self._engine.receive_data(data)
        for event in self._engine.events():
            received.append(event)
            # Also an error of the protocol: nothing may follow it.
            self._is_closed_by_peer |= isinstance(event, CloseConnection)

    def events(self) -> Iterator[Event]:
        """Yield the events that were received."""
        while self._events:
            yield self._events.pop(0)


def masked_frame(payload: bytes) -> bytes:
    """Return a text frame of a client (RFC 6455, section 5)."""
    key = os.urandom(4)
    return b"".join((_head(_TEXT, len(payload), _MASKED), key, _masked(payload, key)))


def unmasked_frame(payload: bytes) -> bytes:
    """Return a text frame of a server."""
    return _head(_TEXT, len(payload), 0) + payload


def unmasked_binary_frame(payload: bytes) -> bytes:
    """Return a binary frame of a server."""
    return _head(_BINARY, len(payload), 0) + payload


def _head(kind: int, size: int, mask: int) -> bytes:
    if size < 126:
        return bytes((kind, mask | size))
    if size < 65536:
        return bytes((kind, mask | 126)) + size.to_bytes(2, "big")
    return bytes((kind, mask | 127)) + size.to_bytes(8, "big")


def _mask_without_extension(payload: bytes, key: bytes) -> bytes:
    """Return the payload combined with the key, as a server undoes it (RFC 6455, section 5.3)."""
    size = len(payload)
    mask = (key * (size // 4 + 1))[:size]
    # Large integers are the fastest way to combine bytes without a C extension.
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")
    return masked.to_bytes(size, "little")


def _find_mask_function() -> Callable[[bytes, bytes], bytes]:
    try:
        from websockets.speedups import apply_mask
    except ImportError:  # no wheel for this platform
        return _mask_without_extension
    return apply_mask


_masked: Final = _find_mask_function()
