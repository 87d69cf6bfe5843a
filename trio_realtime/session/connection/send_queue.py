"""The client events that wait to be sent, as the model has encoded them.

The writer task is the only task that writes, so no cancellation leaves a frame half written.
Adding a message never waits; methods that send audio or messages wait for space first. The bounds
are in bytes. A message stays in the queue until it has been written, so that an orderly close can
wait for the last one. A memory channel has neither property; see
:mod:`trio_realtime.session.change_signal`.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import trio

from trio_realtime.session.change_signal import ChangeSignal
from trio_realtime.session.ending import EndState


class SendQueue:
    """The outgoing messages of one connection.

    Args:
        end: the end of the session. A session that has ended takes no more messages, and still writes
            those that are queued as long as there is a connection.
        max_audio: bytes of audio above which :meth:`wait_for_audio_space` waits.
        max_text: bytes of all other messages above which :meth:`wait_for_text_space` waits.

    Attributes:
        sent: the number of messages that were written.
        max_text: the argument.
    """

    def __init__(self, end: EndState, *, max_audio: int, max_text: int) -> None:
        self.sent: int = 0
        self._end = end
        self._messages: deque[tuple[Any, int, int]] = deque()
        self._max_audio = max_audio
        self.max_text: int = max_text
        self._audio = 0
        self._text = 0
        self._changed = ChangeSignal()

    @property
    def waiting(self) -> int:
        """The number of messages that are not written yet."""
        return len(self._messages)

    # --- senders

    def put(self, message: Any, *, audio: int = 0, text: int = 0) -> None:
        """Queue an encoded event. Drops it if the session has ended.

        Args:
            message: what the model's ``encode`` has returned.
            audio: bytes of audio in the message.
            text: the size of a message without audio.
        """
        if self._end.is_set:
            return
        self._messages.append((message, audio, text))
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
        while self._messages:
            await self._changed.wait()

    # --- the writer

    async def wait_message(self) -> Any:
        """Return the next message. It stays in the queue until :meth:`mark_sent`."""
        while not self._messages:
            await self._changed.wait()
        return self._messages[0][0]

    def mark_sent(self) -> None:
        """Remove the message of :meth:`wait_message`: it was written."""
        self.sent += 1
        if self._messages:  # empty if the queue was cleared during the write
            _message, audio, text = self._messages.popleft()
            self._audio -= audio
            self._text -= text
        self._changed.notify_all()

    def clear(self) -> None:
        """Drop every message: the connection is gone."""
        self._messages.clear()
        self._audio = self._text = 0
        self._changed.notify_all()

    def wake(self) -> None:
        """Wake the tasks that wait for space: the session has ended."""
        self._changed.notify_all()
