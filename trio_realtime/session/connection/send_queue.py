"""The client events that wait to be sent, as the model has encoded them.

A message that nothing waits before is written at once, if the connection can do that without waiting. All
other messages wait for the writer task, which also writes what the operating system has not taken of such a
message. It is the only task that waits for a write, so no cancellation leaves a frame half written.
Adding a message never waits; methods that send audio or messages wait for space first. The bounds
are in bytes. A message stays in the queue until it has been written, so that an orderly close can
wait for the last one. A memory channel has neither property; see
:mod:`trio_realtime.session.change_signal`.

A connection may stall. Audio that has waited for longer than ``max_latency`` is dropped, because late
speech is worse than none, and urgent messages overtake the audio at the end of the queue. They overtake
nothing else, and no other message overtakes anything: a commit stays behind its audio.

Audio is late by the clock of speech: a recording that is queued at once is spoken one second after the
other, so a chunk in its middle is late only when the connection carries less than the audio's own rate.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
import trio

from trio_realtime.session.change_signal import ChangeSignal
from trio_realtime.session.ending import EndState
from trio_realtime.transports import DirectSender


def _ignore(_dropped: float) -> None:
    """Report nothing."""


@attrs.define(eq=False)
class QueuedMessage:
    """A message that waits.

    Attributes:
        message: what the model's ``encode`` has returned.
        audio: bytes of audio in the message.
        text: the size of a message without audio.
        stale_at: when its audio is too old to be sent.
        is_partly_written: whether only a part of it is left, which the connection has.
    """

    message: Any
    audio: int
    text: int
    stale_at: float = math.inf
    is_partly_written: bool = False


class SendQueue:
    """The outgoing messages of one connection.

    Args:
        end: the end of the session. A session that has ended takes no more messages, and still writes
            those that are queued as long as there is a connection.
        max_audio: bytes of audio above which :meth:`wait_for_audio_space` waits.
        max_text: bytes of all other messages above which :meth:`wait_for_text_space` waits.
        max_latency: seconds after which audio that waits is dropped.
        bytes_per_ms: bytes of one millisecond of audio.
        report_stall: called with ``max_latency`` when audio is dropped, once until the queue has no audio.

    Attributes:
        dropped_audio: bytes of audio that were dropped because they had waited for too long.
        sent: the number of messages that were written.
        max_text: the argument.
        connection: the connection, while messages may be written to it without waiting.
    """

    def __init__(
        self,
        end: EndState,
        *,
        max_audio: int,
        max_text: int,
        max_latency: float = math.inf,
        bytes_per_ms: float = 48.0,
        report_stall: Callable[[float], None] = _ignore,
    ) -> None:
        self.connection: DirectSender | None = None
        self.sent: int = 0
        self.dropped_audio: int = 0
        self._end = end
        self._messages: deque[QueuedMessage] = deque()
        self._waiting_audio: deque[QueuedMessage] = deque()  # those of the messages that have audio
        self._writing: QueuedMessage | None = None
        self._max_latency = max_latency
        self._bytes_per_ms = bytes_per_ms
        self._report_stall = report_stall
        self._is_stalled = False
        self._spoken_until = -math.inf
        self._max_audio = max_audio
        self.max_text: int = max_text
        self._audio = 0
        self._text = 0
        self._changed = ChangeSignal()

    @property
    def waiting(self) -> int:
        """The number of messages that are not written yet."""
        return len(self._messages) + (self._writing is not None)

    @property
    def audio(self) -> int:
        """Bytes of audio that are not written yet."""
        return self._audio

    @property
    def text(self) -> int:
        """Bytes of all other messages that are not written yet."""
        return self._text

    # --- senders

    def put(self, message: Any, *, audio: int = 0, text: int = 0, urgent: bool = False) -> None:
        """Write an encoded event at once, or queue it. Drops it if the session has ended.

        Args:
            message: what the model's ``encode`` has returned.
            audio: bytes of audio in the message.
            text: the size of a message without audio.
            urgent: whether it overtakes the audio at the end of the queue.
        """
        if self._end.is_set:
            return
        if self._writing is None and not self._messages and self._write(message, audio, text):
            return
        queued = QueuedMessage(message, audio, text)
        if audio:
            self._drop_stale()
            queued.stale_at = self._stale_at(audio)
            self._waiting_audio.append(queued)
        self._messages.insert(self._end_of_others() if urgent else len(self._messages), queued)
        self._audio += audio
        self._text += text
        self._changed.notify_all()

    def _write(self, message: Any, audio: int, text: int) -> bool:
        """Write a message at once. Returns ``False`` if nothing was written."""
        connection = self.connection
        if connection is None or not connection.try_send(message):
            return False
        if not connection.has_rest:
            self.sent += 1
            return True
        self._writing = QueuedMessage(message, audio, text, is_partly_written=True)
        self._audio += audio
        self._text += text
        self._changed.notify_all()
        return True

    def _stale_at(self, audio: int) -> float:
        """Return when this much more audio, which is spoken after the audio that waits, is too old."""
        now = trio.current_time()
        began = max(now, self._spoken_until) if self._audio else now
        self._spoken_until = began + audio / self._bytes_per_ms / 1000
        return began + self._max_latency

    def _end_of_others(self) -> int:
        """Return the place behind the last message that is not audio."""
        place = len(self._messages)
        while place and self._messages[place - 1].audio:
            place -= 1
        return place

    def discard_last_audio(self) -> None:
        """Drop the audio at the end of the queue: the service is about to clear its buffer."""
        while self._messages and self._messages[-1].audio:
            self._audio -= self._messages.pop().audio
            self._waiting_audio.pop()
        self._changed.notify_all()

    def _drop_stale(self) -> bool:
        """Drop the audio that is too old. Returns whether there was any."""
        now = trio.current_time()
        dropped: set[QueuedMessage] = set()
        while self._waiting_audio and now >= self._waiting_audio[0].stale_at:
            dropped.add(self._waiting_audio.popleft())
        if not dropped:
            return False
        self._messages = deque(queued for queued in self._messages if queued not in dropped)
        size = sum(queued.audio for queued in dropped)
        self._audio -= size
        self.dropped_audio += size
        self._changed.notify_all()
        if not self._is_stalled:
            self._is_stalled = True
            self._report_stall(self._max_latency)
        return True

    async def wait_for_audio_space(self) -> None:
        """Wait until there is space for audio: it was written, or it is too old. Always a checkpoint.

        Raises:
            RealtimeError: the session has ended.
        """
        await trio.lowlevel.checkpoint()
        self._end.raise_if_set()
        while self._audio >= self._max_audio:
            if self._drop_stale():
                continue
            oldest = self._waiting_audio[0].stale_at if self._waiting_audio else math.inf
            with trio.move_on_at(oldest):
                await self._changed.wait()
            self._end.raise_if_set()

    async def wait_for_text_space(self) -> None:
        """Wait until there is space for other messages. Always a checkpoint.

        Raises:
            RealtimeError: the session has ended.
        """
        await trio.lowlevel.checkpoint()
        self._end.raise_if_set()
        while self._text >= self.max_text:
            await self._changed.wait()
            self._end.raise_if_set()

    async def wait_change(self) -> None:
        """Wait until a message is queued, written or dropped, or the queue is woken."""
        await self._changed.wait()

    async def wait_empty(self) -> None:
        """Wait until every message was written or dropped."""
        while self.waiting:
            await self._changed.wait()

    # --- the writer

    async def wait_message(self) -> QueuedMessage:
        """Return the next message. It stays in the queue until :meth:`mark_sent`."""
        while self._writing is None:
            self._drop_stale()
            if not self._messages:
                await self._changed.wait()
                continue
            self._writing = self._messages.popleft()
            if self._writing.audio:
                self._waiting_audio.popleft()
        return self._writing

    def mark_sent(self, message: QueuedMessage) -> None:
        """Remove the message of :meth:`wait_message`: it was written."""
        self.sent += 1
        if self._writing is message:  # the queue may have been cleared during the write
            self._audio -= message.audio
            self._text -= message.text
            self._writing = None
        if not self._audio:
            self._is_stalled = False
        self._changed.notify_all()

    def clear(self) -> None:
        """Drop every message: the connection is gone."""
        self._messages.clear()
        self._waiting_audio.clear()
        self._writing = None
        self.connection = None  # the next writer sets its own
        self._is_stalled = False
        self._audio = self._text = 0
        self._changed.notify_all()

    def wake(self) -> None:
        """Wake the tasks that wait for space: the session has ended."""
        self._changed.notify_all()
