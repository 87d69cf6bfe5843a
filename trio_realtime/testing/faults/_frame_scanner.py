"""Find the messages in the bytes of one direction of an unencrypted WebSocket. Performs no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

__all__ = ["FrameScanner"]

_END_OF_HEAD: Final = b"\r\n\r\n"
_FIRST_CONTROL_OPCODE: Final = 8
_LONG_LENGTHS: Final = {126: 2, 127: 8}


@final
class FrameScanner:
    """Skips the HTTP head of the upgrade, and then follows the headers of frames (RFC 6455, 5.2)."""

    def __init__(self) -> None:
        # The last bytes of the head, while it is incomplete.
        self._head: bytes | None = b""
        self._header = bytearray()
        self._is_message = False
        self._remaining = 0

    def payloads(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield the start and the end of each piece of a message in ``data``, which comes next.

        Pings and other control frames are skipped. All pieces must be consumed.
        """
        position = self._skip_head(data)
        while position < len(data):
            if self._remaining == 0:
                self._add_to_header(data[position])
                position += 1
                continue
            end = min(len(data), position + self._remaining)
            self._remaining -= end - position
            if self._is_message:
                yield position, end
            position = end

    def _skip_head(self, data: bytes) -> int:
        """Return where the frames begin."""
        if self._head is None:
            return 0
        known = self._head + data
        end = known.find(_END_OF_HEAD)
        if end < 0:
            self._head = known[-len(_END_OF_HEAD) + 1 :]
            return len(data)
        position = end + len(_END_OF_HEAD) - len(self._head)
        self._head = None
        return position

    def _add_to_header(self, byte: int) -> None:
        self._header.append(byte)
        if len(self._header) < 2:
            return
        first, second = self._header[:2]
        is_masked, length = second >> 7, second & 0x7F
        long = _LONG_LENGTHS.get(length, 0)
        if len(self._header) < 2 + long + 4 * is_masked:
            return
        self._remaining = int.from_bytes(self._header[2 : 2 + long], "big") if long else length
        self._is_message = first & 0x0F < _FIRST_CONTROL_OPCODE
        self._header.clear()
