"""The agent's audio in frames of equal length, each delivered when it is time to play it.

This is for outputs that need a steady stream: a phone line, or a sound card without a buffer. The
playback clock is exact here, because the delivered frames are the audio that was heard.

Audio arrives faster than it plays, so most of a reply waits here. What waits is bounded in bytes like the
audio of a channel, and with the same outcome: the stream ends with ``ConsumerTooSlow`` after the audio that
it has, or it drops the oldest audio.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self

import attrs
import trio

from trio_realtime.config import OverflowPolicy
from trio_realtime.errors import ConsumerTooSlow, RealtimeError, UsageError
from trio_realtime.events import Audio, AudioEnd, AudioInterrupted, SessionEvent
from trio_realtime.session.ending import copy_exception

from .channel import EventChannel

PACED_EVENTS: Final[tuple[type[SessionEvent], ...]] = (Audio, AudioEnd, AudioInterrupted)
_SILENCE = {"audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}


@attrs.frozen(kw_only=True)
class PacedAudioStatistics:
    """How much audio waits to be played.

    Attributes:
        buffered_audio: bytes of audio that has arrived and was not delivered.
        dropped_audio: bytes of audio that were dropped above ``max_buffered_audio``.
    """

    buffered_audio: int
    dropped_audio: int


class _PlayableAudio:
    """Audio of one item that was not delivered yet."""

    __slots__ = ("content_index", "data", "ended", "item_id", "response_id", "taken")

    def __init__(self, event: Audio) -> None:
        self.item_id = event.item_id
        self.content_index = event.content_index
        self.response_id = event.response_id
        self.data = bytearray()
        self.taken = 0
        self.ended = False

    def belongs_to(self, event: Audio | AudioEnd) -> bool:
        return (self.item_id, self.content_index) == (event.item_id, event.content_index)

    def take(self, size: int) -> bytes:
        """Remove audio from the beginning."""
        data = bytes(self.data[:size])
        del self.data[:size]
        self.taken += len(data)
        return data


class PacedAudio(trio.abc.ReceiveChannel[Audio]):
    """The agent's audio in real time; see :meth:`RealtimeSession.paced_audio`.

    Enter it with ``async with``. Audio that arrives before that is not delivered.
    """

    def __init__(
        self,
        open_channel: Callable[[], EventChannel[Any]],
        report: Callable[[str, int, float], None],
        on_stop: Callable[[], None],
        *,
        bytes_per_ms: float,
        frame_ms: int,
        pad: bool,
        encoding: str,
        max_audio: int = sys.maxsize,
        overflow: OverflowPolicy = "fail",
    ) -> None:
        self._open_channel = open_channel
        self._channel: EventChannel[Any] | None = None
        self._report = report
        self._on_stop = on_stop
        self._bytes_per_ms = bytes_per_ms
        sample = 1 if encoding in _SILENCE else 2
        self._frame_size = max(int(frame_ms * bytes_per_ms) // sample, 1) * sample
        # Not frame_ms: at 11.025 kHz and its multiples, no whole number of samples lasts that long.
        self._frame_seconds = self._frame_size / bytes_per_ms / 1000
        self._padding = _SILENCE.get(encoding, b"\0") if pad else b""
        self._pieces: deque[_PlayableAudio] = deque()
        self._size = 0
        self._dropped = 0
        self._max_audio = max_audio
        self._overflow = overflow
        self._next_frame_at = float("-inf")
        self._playing: tuple[_PlayableAudio, int] | None = None
        self._end: Exception | None = None

    def statistics(self) -> PacedAudioStatistics:
        """Return how much audio waits to be played."""
        unread = 0 if self._channel is None else self._channel.statistics().buffered_audio
        return PacedAudioStatistics(buffered_audio=self._size + unread, dropped_audio=self._dropped)

    async def receive(self) -> Audio:
        """Return the next frame when it is time to play it.

        Cancelling the wait loses no audio.

        Raises:
            trio.EndOfChannel: the session is over and all audio was delivered.
            trio.ClosedResourceError: the block was left.
            ConsumerTooSlow: more than ``max_buffered_audio`` bytes waited to be played. The audio that
                had arrived before was delivered first.
            RealtimeError: what ended the session, after all audio that came before it.
            UsageError: the object was not entered with ``async with``.
        """
        await trio.lowlevel.checkpoint()
        channel = self._entered()
        while True:
            self._drain_channel(channel)
            if trio.current_time() >= self._next_frame_at:
                self._report_heard()
                if self._has_frame():
                    return self._next_frame()
            if self._end is not None and self._playing is None and not self._has_frame():
                raise copy_exception(self._end)
            await self._wait(channel)

    def _entered(self) -> EventChannel[Any]:
        if self._channel is None:
            raise UsageError("enter paced_audio() with `async with` before reading frames")
        return self._channel

    def _drain_channel(self, channel: EventChannel[Any]) -> None:
        while self._end is None:
            try:
                self._take(channel.receive_nowait())
            except trio.WouldBlock:
                return
            except (trio.EndOfChannel, RealtimeError) as exc:
                self._finish(exc)

    def _finish(self, end: Exception) -> None:
        """Deliver what has arrived, then end."""
        self._end = end
        self._end_all()

    def _take(self, event: SessionEvent) -> None:
        match event:
            case Audio():
                if not self._pieces or not self._pieces[-1].belongs_to(event):
                    self._end_all()
                    self._pieces.append(_PlayableAudio(event))
                self._pieces[-1].data += event.data
                self._size += len(event.data)
                if self._size > self._max_audio:
                    self._make_space(len(event.data))
            case AudioEnd():
                for piece in self._pieces:
                    piece.ended |= piece.belongs_to(event)
            case AudioInterrupted(response_id=response_id):
                self._pieces = deque(p for p in self._pieces if p.response_id != response_id)
                self._size = sum(len(piece.data) for piece in self._pieces)
                if self._playing is not None and self._playing[0].response_id == response_id:
                    self._playing = None
            case _:
                pass

    def _make_space(self, newest: int) -> None:
        """Keep the limit after audio of this size was added."""
        if self._overflow != "fail":
            self._drop_oldest()
            return
        if self._size == newest:
            return  # otherwise nobody could receive it
        piece = self._pieces[-1]
        del piece.data[len(piece.data) - newest :]
        self._size -= newest
        self._dropped += newest
        self._finish(
            ConsumerTooSlow(
                f"{self._size} bytes of audio wait to be played, which is the limit: raise "
                f"max_buffered_audio, or set overflow='drop_oldest_audio' to lose audio instead",
                statistics=attrs.asdict(self.statistics()),
            )
        )
        if self._channel is not None:
            self._channel.close()

    def _drop_oldest(self) -> None:
        while self._size > self._max_audio:
            piece = self._pieces[0]
            available = len(piece.data)
            if len(self._pieces) == 1:  # its end has not arrived
                available -= available % self._frame_size
            frames = -(-(self._size - self._max_audio) // self._frame_size)
            dropped = len(piece.take(min(available, frames * self._frame_size)))
            self._size -= dropped
            self._dropped += dropped
            if len(self._pieces) > 1 and not piece.data:
                self._pieces.popleft()
            elif not dropped:
                return  # less than a frame is left

    def _end_all(self) -> None:
        for piece in self._pieces:
            piece.ended = True

    async def _wait(self, channel: EventChannel[Any]) -> None:
        """Wait for the next event, or for the time of the next frame."""
        timed = self._playing is not None or self._has_frame()
        deadline = self._next_frame_at if timed else float("inf")
        with trio.move_on_at(deadline):
            if self._end is not None:
                await trio.sleep_forever()
            try:
                self._take(await channel.receive())
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
        data = piece.take(self._frame_size)
        self._size -= len(data)
        self._next_frame_at = self._start() + self._frame_seconds
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
        """Return when the frame begins: on schedule after a small delay, now after silence."""
        now = trio.current_time()
        return self._next_frame_at if now - self._next_frame_at <= self._frame_seconds else now

    def _report_heard(self) -> None:
        if self._playing is not None:
            piece, taken = self._playing
            self._playing = None
            self._report(piece.item_id, piece.content_index, taken / self._bytes_per_ms)

    async def aclose(self) -> None:
        """Stop. Audio that was not delivered is dropped."""
        self._stop()
        await trio.lowlevel.checkpoint()

    def _stop(self) -> None:
        if self._channel is not None and not isinstance(self._end, trio.ClosedResourceError):
            self._on_stop()
            self._channel.close()
        self._pieces.clear()
        self._size = 0
        self._playing = None
        self._end = trio.ClosedResourceError("this audio stream was closed")

    async def __aenter__(self) -> Self:
        if self._channel is None:
            self._channel = self._open_channel()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop()
