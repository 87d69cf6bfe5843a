"""Invariant 10: what the session holds stays within the configured bounds."""

from __future__ import annotations

from collections import deque
from typing import Final

from trio_realtime import events as ev
from trio_realtime.testing.simulation.log import Entry, Frame, InvariantViolation
from trio_realtime.testing.simulation.subject import MAX_AUDIO_LATENCY, Subject

from .frames import message_text

__all__ = ["BoundsCheck"]

_EVENTS_OF_A_FRAME: Final = 8
_FRAMES: Final = 4


class BoundsCheck:
    """Checks invariant 10 after each step.

    Args:
        subject: the session to check.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._audio: deque[tuple[float, int]] = deque()
        self._text = 0
        self._own_texts: set[str] = set()
        # A message that nothing waits before is sent before its call returns.
        self._sent_audio = 0
        self._sent_texts: set[str] = set()
        self._largest = 0
        self._largest_audio = 0
        self._is_first = True
        self._over_since: dict[str, float] = {}
        log = subject.log
        log.observe(self._step, "in", "event")
        log.observe(self._sent, "out")
        log.observe(self._connected, "connected")
        log.observe(self._cleared, "cleared audio")
        log.observe(self._queued, "queued audio", "queued text")

    def _step(self, entry: Entry) -> None:
        """A consumer that is about to take an event may be given those of a few more frames.

        With the audio gate, one frame may release the audio of a whole reply, for a moment.
        """
        if entry.what == "event" and type(entry.about[1]) is ev.Audio:
            self._largest_audio = max(self._largest_audio, len(entry.about[1].data))
        settings = self._subject.plan.settings
        for consumer in self._subject.consumers:
            if consumer.statistics is None:
                continue
            statistics = consumer.statistics()
            events, audio = statistics.buffered_events, statistics.buffered_audio
            is_over = events > settings.max_events + _FRAMES * _EVENTS_OF_A_FRAME
            is_over |= audio > settings.max_audio + _FRAMES * self._largest_audio
            if not is_over:
                self._over_since.pop(consumer.name, None)
                continue
            since = self._over_since.setdefault(consumer.name, entry.time)
            if not settings.gated or since < entry.time:
                unread = f"{events} events and {audio} bytes of audio"
                raise InvariantViolation(10, f"{consumer.name} has {unread} unread")

    def _sent(self, entry: Entry) -> None:
        frame: Frame = entry.about
        if frame["type"] == "input_audio_buffer.append":
            if self._audio:
                self._audio.popleft()
            else:
                self._sent_audio += 1
        text = message_text(frame)
        if text in self._own_texts:
            self._text -= len(text)
        else:
            self._sent_texts.add(text)

    def _connected(self, entry: Entry) -> None:
        """What is said while there is no connection is bounded in seconds, and sent again later."""
        self._is_first = entry.about == 0

    def _cleared(self, _entry: Entry) -> None:
        self._audio.clear()

    def _queued(self, entry: Entry) -> None:
        """The bound may be exceeded by the last frame, which had some space."""
        if not self._is_first or self._subject.network.is_down:
            return
        size = len(entry.about)
        self._largest = max(self._largest, size)
        limit = self._subject.plan.settings.max_outgoing + self._largest
        if entry.what == "queued audio" and self._sent_audio:
            self._sent_audio -= 1
        elif entry.what == "queued audio":
            self._audio.append((entry.time, size))
            while self._audio[0][0] < entry.time - MAX_AUDIO_LATENCY:
                self._audio.popleft()  # too old to be sent
            waiting = sum(size for _, size in self._audio)
            if waiting > limit:
                raise InvariantViolation(10, f"{waiting} bytes of audio wait to be sent")
        elif entry.about not in self._sent_texts:
            self._own_texts.add(entry.about)
            self._text += size
            if self._text > limit:
                raise InvariantViolation(10, f"{self._text} bytes of text wait to be sent")
