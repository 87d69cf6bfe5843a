"""The frames that wait to be sent.

The writer task is the only task that writes, so no cancellation leaves a frame half written.
Adding a frame never waits; methods that send audio or messages wait for space first. The bounds
are in bytes. A frame stays in the queue until it has been written, so that an orderly close can
wait for the last one. A memory channel has neither property; see
:mod:`trio_realtime.session.change_signal`.
"""

from __future__ import annotations

from collections import deque

import trio

from trio_realtime.session.change_signal import ChangeSignal
from trio_realtime.session.ending import SessionEnd


class SendQueue:
    """The outgoing frames of one connection.

    Args:
        end: the end of the session. A session that has ended takes no more frames, and still writes
            those that are queued as long as there is a connection.
        max_audio: bytes of audio above which :meth:`wait_for_audio_space` waits.
        max_text: bytes of all other frames above which :meth:`wait_for_text_space` waits.

    Attributes:
        sent: the number of frames that were written.
    """

    def __init__(self, end: SessionEnd, *, max_audio: int, max_text: int) -> None:
        self.sent: int = 0
        self._end = end
        self._frames: deque[tuple[str, int, int]] = deque()
        self._max_audio = max_audio
        self._max_text = max_text
        self._audio = 0
        self._text = 0
        self._changed = ChangeSignal()

    @property
    def waiting(self) -> int:
        """The number of frames that are not written yet."""
        return len(self._frames)

    # --- senders

    def put_frame(self, frame: str, *, audio: int = 0) -> None:
        """Queue an encoded event. Drops the frame if the session has ended.

        Args:
            frame: the text of the frame.
            audio: bytes of audio in the frame; 0 for every other frame.
        """
        if self._end.is_set:
            return
        text = 0 if audio else len(frame)
        self._frames.append((frame, audio, text))
        self._audio += audio
        self._text += text
        self._changed.notify_all()

    async def wait_for_audio_space(self) -> None:
        """Wait until there is space for audio. Always a checkpoint.

        Raises:
            RealtimeError: the session has ended.
        """
        await trio.lowlevel.checkpoint()
        self._end.raise_if_set()
        while self._audio >= self._max_audio:
            await self._changed.wait()
            self._end.raise_if_set()

    async def wait_for_text_space(self) -> None:
        """Wait until there is space for other frames. Always a checkpoint.

        Raises:
            RealtimeError: the session has ended.
        """
        await trio.lowlevel.checkpoint()
        self._end.raise_if_set()
        while self._text >= self._max_text:
            await self._changed.wait()
            self._end.raise_if_set()

    async def wait_empty(self) -> None:
        """Wait until every frame was written or dropped."""
        while self._frames:
            await self._changed.wait()

    # --- the writer

    async def wait_frame(self) -> str:
        """Return the next frame. The frame stays in the queue until :meth:`mark_sent`."""
        while not self._frames:
            await self._changed.wait()
        return self._frames[0][0]

    def mark_sent(self) -> None:
        """Remove the frame of :meth:`wait_frame`: it was written."""
        self.sent += 1
        if self._frames:  # empty if the queue was cleared during the write
            _frame, audio, text = self._frames.popleft()
            self._audio -= audio
            self._text -= text
        self._changed.notify_all()

    def clear(self) -> None:
        """Drop every frame: the connection is gone."""
        self._frames.clear()
        self._audio = self._text = 0
        self._changed.notify_all()

    def wake(self) -> None:
        """Wake the tasks that wait for space: the session has ended."""
        self._changed.notify_all()
