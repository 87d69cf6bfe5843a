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

from trio_realtime.errors import RealtimeError
from trio_realtime.events import Audio, AudioEnd, AudioInterrupted, SessionEvent

from .bus import EventChannel, again

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
        on_stop: Callable[[], None],
        *,
        bytes_per_ms: int,
        frame_ms: int,
        pad: bool,
        encoding: str,
    ) -> None:
        self._channel = channel
        self._report = report
        self._on_stop = on_stop
        self._bytes_per_ms = bytes_per_ms
        self._frame_ms = frame_ms
        self._frame_size = frame_ms * bytes_per_ms
        self._padding = _SILENCE.get(encoding, b"\0") if pad else b""
        self._pieces: deque[_Piece] = deque()
        self._due = float("-inf")
        self._playing: tuple[_Piece, int] | None = None
        self._end: Exception | None = None

    async def receive(self) -> Audio:
        """The next frame, when it is time for it.

        If it is cancelled, no audio is lost.

        Raises:
            trio.EndOfChannel: the session is over and all was handed out.
            trio.ClosedResourceError: it was closed.
            RealtimeError: what ended the session, after all audio that came before it.
        """
        await trio.lowlevel.checkpoint()
        while True:
            self._take_waiting()
            if trio.current_time() >= self._due:
                self._report_heard()
                if self._has_frame():
                    return self._next_frame()
            if self._end is not None and self._playing is None and not self._has_frame():
                raise again(self._end)
            await self._wait()

    def _take_waiting(self) -> None:
        while self._end is None:
            try:
                self._take(self._channel.receive_nowait())
            except trio.WouldBlock:
                return
            except (trio.EndOfChannel, RealtimeError) as exc:
                self._finish(exc)

    def _finish(self, end: Exception) -> None:
        """Nothing more will come; what came is still handed out."""
        self._end = end
        self._end_all()

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
            if self._end is not None:
                await trio.sleep_forever()
            try:
                self._take(await self._channel.receive())
            except (trio.EndOfChannel, RealtimeError) as exc:
                self._finish(exc)

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
        self._due = self._start() + self._frame_ms / 1000
        self._playing = (piece, piece.taken)
        if self._padding:
            data += self._padding * (self._frame_size - len(data))
        return Audio(
            data=data,
            response_id=piece.response_id,
            item_id=piece.item_id,
            content_index=piece.content_index,
        )

    def _start(self) -> float:
        """When this frame begins: a little lateness is caught up with, after silence it is now."""
        now = trio.current_time()
        return self._due if now - self._due <= self._frame_ms / 1000 else now

    def _report_heard(self) -> None:
        if self._playing is not None:
            piece, taken = self._playing
            self._playing = None
            self._report(piece.item_id, piece.content_index, taken / self._bytes_per_ms)

    async def aclose(self) -> None:
        """Stop; what was not handed out is dropped."""
        self._stop()
        await trio.lowlevel.checkpoint()

    def _stop(self) -> None:
        if not isinstance(self._end, trio.ClosedResourceError):
            self._on_stop()
        self._channel.close()
        self._pieces.clear()
        self._playing = None
        self._end = trio.ClosedResourceError("this audio was closed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop()
