"""Audio in frames of equal length, each handed out when it is time to play it.

For those who write to something that wants a steady stream: a phone line, a sound card without a
buffer of its own. The clock of the interruptions is exact here, because the frames that were handed
out are the audio that was heard.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Self

import trio

from trio_realtime.events import Audio, AudioEnd, AudioInterrupted, SessionEvent

from .hub import EventChannel

EVENTS: tuple[type[SessionEvent], ...] = (Audio, AudioEnd, AudioInterrupted)
_SILENCE = {"audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}


class _Piece:
    """Audio of one item that is still to be handed out."""

    __slots__ = ("content_index", "data", "ended", "item_id", "response_id", "taken")

    def __init__(self, event: Audio) -> None:
        self.item_id = event.item_id
        self.content_index = event.content_index
        self.response_id = event.response_id
        self.data = bytearray()
        self.taken = 0
        self.ended = False

    def is_of(self, event: Audio | AudioEnd) -> bool:
        return (self.item_id, self.content_index) == (event.item_id, event.content_index)


class PacedAudio(trio.abc.ReceiveChannel[Audio]):
    """The agent's audio in real time; see :meth:`RealtimeSession.paced_audio`."""

    def __init__(
        self,
        channel: EventChannel,
        report: Callable[[str, int, float], None],
        *,
        bytes_per_ms: int,
        frame_ms: int,
        pad: bool,
        encoding: str,
    ) -> None:
        self._channel = channel
        self._report = report
        self._bytes_per_ms = bytes_per_ms
        self._frame_ms = frame_ms
        self._frame_size = frame_ms * bytes_per_ms
        self._padding = _SILENCE.get(encoding, b"\0") if pad else b""
        self._pieces: deque[_Piece] = deque()
        self._due = float("-inf")
        self._playing: tuple[_Piece, int] | None = None

    async def receive(self) -> Audio:
        """The next frame, when it is time for it.

        If it is cancelled, no audio is lost.

        Raises:
            trio.EndOfChannel: the session is over and all was handed out.
            RealtimeError: what ended the session.
        """
        await trio.lowlevel.checkpoint()
        while True:
            self._take_waiting()
            if trio.current_time() >= self._due:
                self._report_heard()
                if self._has_frame():
                    return self._next_frame()
            await self._wait()

    def _take_waiting(self) -> None:
        while True:
            try:
                event = self._channel.receive_nowait()
            except trio.WouldBlock:
                return
            except (trio.EndOfChannel, trio.ClosedResourceError):
                if not self._pieces and self._playing is None:
                    raise
                self._end_all()
                return
            self._take(event)

    def _take(self, event: SessionEvent) -> None:
        match event:
            case Audio():
                if not self._pieces or not self._pieces[-1].is_of(event):
                    self._end_all()
                    self._pieces.append(_Piece(event))
                self._pieces[-1].data += event.data
            case AudioEnd():
                for piece in self._pieces:
                    piece.ended |= piece.is_of(event)
            case AudioInterrupted(response_id=response_id):
                self._pieces = deque(p for p in self._pieces if p.response_id != response_id)
                if self._playing is not None and self._playing[0].response_id == response_id:
                    self._playing = None
            case _:
                pass

    def _end_all(self) -> None:
        for piece in self._pieces:
            piece.ended = True

    async def _wait(self) -> None:
        """Until the next event or, with a frame playing or ready, until its time."""
        timed = self._playing is not None or self._has_frame()
        deadline = self._due if timed else float("inf")
        with trio.move_on_at(deadline):
            self._take(await self._channel.receive())

    def _has_frame(self) -> bool:
        while self._pieces and self._pieces[0].ended and not self._pieces[0].data:
            self._pieces.popleft()
        if not self._pieces:
            return False
        piece = self._pieces[0]
        return len(piece.data) >= self._frame_size or piece.ended

    def _next_frame(self) -> Audio:
        piece = self._pieces[0]
        data = bytes(piece.data[: self._frame_size])
        del piece.data[: self._frame_size]
        piece.taken += len(data)
        self._due = max(self._due, trio.current_time() - self._frame_ms / 1000)
        self._due += self._frame_ms / 1000
        self._playing = (piece, piece.taken)
        if self._padding:
            data += self._padding * (self._frame_size - len(data))
        return Audio(
            data=data,
            response_id=piece.response_id,
            item_id=piece.item_id,
            content_index=piece.content_index,
        )

    def _report_heard(self) -> None:
        if self._playing is not None:
            piece, taken = self._playing
            self._playing = None
            self._report(piece.item_id, piece.content_index, taken / self._bytes_per_ms)

    async def aclose(self) -> None:
        """Stop; what was not handed out is dropped."""
        await self._channel.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._channel.close()
