"""What a speaker still has to play, and how much of it was heard.

Audio moves through three places: it is queued, then handed to the device, then heard. What was handed to
the device is heard after the device's delay, so a position in the stream of samples says what was
heard. Every call of the device moves that position:

* before it, ``handed`` samples were handed to the device, including silence;
* the next one is heard after ``delay`` seconds;
* so everything before ``handed - delay * rate`` has been heard.

The audio system calls in its own thread, so a lock protects the state. Nothing here reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import Lock

import attrs

_SAMPLE = 2
"""Bytes of a sample."""


@attrs.frozen
class SpokenItem:
    """The part of an item that audio belongs to."""

    response_id: str
    item_id: str
    content_index: int


@attrs.define(eq=False)
class _Piece:
    """Audio of one item, or of none, that was not handed to the device.

    Attributes:
        begun: whether some of it was handed to the device.
        ended: whether no more of it follows.
    """

    item: SpokenItem | None
    data: bytearray
    begun: bool = False
    ended: bool = False

    @property
    def size(self) -> int:
        """The bytes of whole samples."""
        return len(self.data) // _SAMPLE * _SAMPLE

    def take(self, size: int) -> bytes:
        data = bytes(self.data[: min(size, self.size)])
        del self.data[: len(data)]
        self.begun |= bool(data)
        return data


class PlaybackBuffer:
    """The audio of a speaker: queued, handed to the device, heard. All sizes are bytes of PCM16.

    Args:
        rate: samples per second.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pieces: deque[_Piece] = deque()
        self._in_device: deque[tuple[SpokenItem | None, int]] = deque()
        """What was handed to the device and not heard yet, in order. Silence belongs to no item."""
        self._handed = 0
        self._heard = 0
        self._heard_of: dict[SpokenItem, int] = {}
        self._changed: dict[SpokenItem, None] = {}  # a set with an order
        self._audible_until = 0
        self._queued = 0
        self._underruns = 0
        self._starved = False
        self._lock = Lock()

    @property
    def queued(self) -> int:
        """The bytes that were not handed to the device."""
        return self._queued

    @property
    def underruns(self) -> int:
        """How often the audio ran out within an item, or the device called too late."""
        return self._underruns

    @property
    def is_audible(self) -> bool:
        """Whether audio is queued, or was handed to the device and not heard to its end."""
        return self._queued > 0 or self._heard < self._audible_until

    def put(self, item: SpokenItem | None, data: bytes) -> None:
        """Queue audio. Audio of an item follows the audio of the same item without a gap."""
        with self._lock:
            if not self._pieces or self._pieces[-1].item != item:
                self._end_all()
                self._pieces.append(_Piece(item, bytearray()))
            piece = self._pieces[-1]
            self._queued -= piece.size
            piece.data += data
            self._queued += piece.size
            self._starved = False

    def end(self, item: SpokenItem) -> None:
        """Note that an item has no more audio: silence after it is no underrun."""
        with self._lock:
            for piece in self._pieces:
                piece.ended |= piece.item == item

    def _end_all(self) -> None:
        for piece in self._pieces:
            piece.ended = True

    def discard(self, response_id: str | None = None) -> None:
        """Drop what was not handed to the device: of one response, or all."""
        with self._lock:
            self._pieces = deque(
                piece
                for piece in self._pieces
                if response_id is not None
                and (piece.item is None or piece.item.response_id != response_id)
            )
            self._queued = sum(piece.size for piece in self._pieces)

    def fill(self, size: int, delay: float, underflow: bool) -> bytes:  # noqa: FBT001 - see FillOutput
        """Return the next ``size`` bytes for the device, with silence where there is no audio.

        Args:
            size: bytes of whole samples.
            delay: seconds until the first of these samples is heard.
            underflow: whether the device ran out of audio before.
        """
        with self._lock:
            self._underruns += underflow
            self._hear(self._handed - round(delay * self._rate) * _SAMPLE)
            block = bytearray()
            while len(block) < size and (piece := self._next_piece()) is not None:
                data = piece.take(size - len(block))
                self._hand(piece.item, len(data))
                block += data
                self._queued -= len(data)
                self._audible_until = self._handed
            missing = size - len(block)
            if missing:
                self._count_underrun()
                self._hand(None, missing)
            return bytes(block) + bytes(missing)

    def _next_piece(self) -> _Piece | None:
        """Return the piece to play. Half a sample at the end of an item is dropped."""
        while self._pieces and not self._pieces[0].size and self._pieces[0].ended:
            self._pieces.popleft()
        return self._pieces[0] if self._pieces and self._pieces[0].size else None

    def _count_underrun(self) -> None:
        """Count the first silence within an item, and not the rest of it."""
        if self._pieces and self._pieces[0].begun and not self._starved:
            self._underruns += 1
            self._starved = True

    def _hand(self, item: SpokenItem | None, size: int) -> None:
        self._in_device.append((item, size))
        self._handed += size

    def _hear(self, position: int) -> None:
        """Move the position that was heard; it never moves back."""
        while self._in_device and self._heard < position:
            item, size = self._in_device.popleft()
            heard = min(size, position - self._heard)
            self._heard += heard
            if item is not None:
                self._heard_of[item] = self._heard_of.get(item, 0) + heard
                self._changed[item] = None
            if heard < size:
                self._in_device.appendleft((item, size - heard))

    def take_reports(self) -> Sequence[tuple[SpokenItem, float]]:
        """Return the items of which more was heard since the last call, with the milliseconds heard."""
        with self._lock:
            reports = [(item, self._heard_of[item] * 500 / self._rate) for item in self._changed]
            self._changed.clear()
            self._forget_items()
            return reports

    def _forget_items(self) -> None:
        """Forget the items that were heard to their end, except the last one."""
        pending = {piece.item for piece in self._pieces} | {item for item, _ in self._in_device}
        for item in list(self._heard_of)[:-1]:
            if item not in pending:
                del self._heard_of[item]
