"""Take the pings out of the bytes of WebSocket frames (RFC 6455, section 5.2). Performs no I/O.

trio-websocket's reader task answers each ping with a write. If the peer does not read, that write
blocks, and the reader stops. The reader of a stream without pings never stops for this reason.
"""

from __future__ import annotations

from typing import final

import attrs

__all__ = ["PING", "PingFilter", "Received"]

#: The first byte of every ping.
PING = b"\x89"

_PING = PING[0]
_PONG = 0x8A
_CONTROL = 0x08
_MASKED = 0x80
_MAX_CONTROL_PAYLOAD = 125


@final
@attrs.define
class Received:
    """What arrived with some bytes.

    Attributes:
        rest: The bytes without the pings. An incomplete header or control frame at the end comes
            with the next bytes.
        ping: The payload of the last ping.
        pongs: The payloads of the pongs.
        has_message: Whether a part of a message arrived.
    """

    rest: bytes
    ping: bytes | None = None
    pongs: tuple[bytes, ...] = ()
    has_message: bool = False


@final
@attrs.define(eq=False)
class PingFilter:
    """Takes the pings out of a stream of frames.

    Invalid pings remain, so that the connection ends because of them.

    Args:
        masked: Whether the peer masks its frames, as a client does.
    """

    _masked: bool
    # An incomplete header or control frame, at most 139 bytes.
    _incomplete: bytes = attrs.field(init=False, default=b"")
    # The bytes of the current frame's payload that are still to come.
    _payload_left: int = attrs.field(init=False, default=0)

    def feed(self, data: bytes) -> Received:
        """Return what arrived with these bytes."""
        if self._incomplete:
            data = self._incomplete + data
            self._incomplete = b""
        elif not self._payload_left and _is_one_message(data):
            return Received(data, has_message=True)
        position = min(self._payload_left, len(data))
        self._payload_left -= position
        has_message = position > 0
        if position == len(data):
            return Received(data, has_message=has_message)
        rest: list[bytes] = []
        rest_start = 0
        ping: bytes | None = None
        pongs: list[bytes] = []
        while position < len(data):
            header = _parse_header(data, position)
            if header is None:
                self._incomplete = data[position:]
                break
            size, length = header
            end = position + size + length
            if not data[position] & _CONTROL or length > _MAX_CONTROL_PAYLOAD:
                has_message = True
                self._payload_left = max(end - len(data), 0)
            elif end > len(data):
                self._incomplete = data[position:]
                break
            elif data[position] == _PING and self._is_masked(data, position):
                ping = _payload(data, position, end)
                rest.append(data[rest_start:position])
                rest_start = end
            elif data[position] == _PONG:
                pongs.append(_payload(data, position, end))
            position = end
        # ``position`` is where the incomplete frame starts, or not before the end of the data.
        rest.append(data[rest_start:position])
        return Received(b"".join(rest), ping, tuple(pongs), has_message)

    def _is_masked(self, data: bytes, position: int) -> bool:
        """Return whether a frame is masked exactly if it has to be."""
        return bool(data[position + 1] & _MASKED) is self._masked


def _is_one_message(data: bytes) -> bool:
    """Return whether the data is one frame of medium size of a message, which is usual."""
    if len(data) < 4 or data[0] & _CONTROL or data[1] & 0x7F != 126:
        return False
    head = 8 if data[1] & _MASKED else 4
    return len(data) == head + (data[2] << 8 | data[3])


def _parse_header(data: bytes, position: int) -> tuple[int, int] | None:
    """Return the sizes of a frame's header and payload; None if the header is incomplete."""
    if len(data) < position + 2:
        return None
    length = data[position + 1] & 0x7F
    extended = {126: 2, 127: 8}.get(length, 0)
    size = 2 + extended + (4 if data[position + 1] & _MASKED else 0)
    if len(data) < position + size:
        return None
    if extended:
        length = int.from_bytes(data[position + 2 : position + 2 + extended])
    return size, length


def _payload(data: bytes, position: int, end: int) -> bytes:
    """Return the unmasked payload of a complete control frame."""
    if not data[position + 1] & _MASKED:
        return data[position + 2 : end]
    mask = data[position + 2 : position + 6]
    return bytes(byte ^ mask[n % 4] for n, byte in enumerate(data[position + 6 : end]))
