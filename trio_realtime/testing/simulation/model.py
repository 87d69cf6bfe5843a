"""The model of the local server: it answers as the plan says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import trio

from trio_realtime.local import Say, Speech, Step, Turn
from trio_realtime.local.transcriber import TranscriptionFailed, TranscriptionResult, UserAudio

from .plan import FORBIDDEN, Reply

__all__ = ["PlannedResponder", "PlannedTranscriber", "QuietSynthesizer"]


class PlannedResponder:
    """Responds with the replies of a plan in order, then with a short one.

    Args:
        replies: the replies.
    """

    def __init__(self, replies: Iterable[Reply]) -> None:
        self._replies = deque(replies)

    def respond(self, turn: Turn) -> Sequence[Step]:
        """Return the next reply."""
        if turn.out_of_band:
            return (Say("An aside.", audio_ms=300.0),)
        return self._replies.popleft() if self._replies else (Say("Fine.", audio_ms=200.0),)


class PlannedTranscriber:
    """Transcribes each item after a while. Every seventh one fails, every eleventh is forbidden.

    Args:
        seconds: how long it takes.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._count = 0

    async def __call__(self, audio: UserAudio) -> TranscriptionResult:
        """Return a transcript, or a failure."""
        self._count += 1
        number = self._count
        await trio.sleep(self._seconds)
        if number % 7 == 0:
            return TranscriptionFailed()
        if number % 11 == 0:
            return f"{FORBIDDEN} words"
        return f"{len(audio.data)} bytes of speech"


class QuietSynthesizer:
    """A synthesizer whose speech is one value, so that it costs no time to generate."""

    @property
    def blocking(self) -> bool:
        """Always False."""
        return False

    def synthesize(self, text: str) -> Speech:
        """Return 20 ms for each character."""
        milliseconds = 20 * max(1, len(text))
        return Speech((bytes(48 * milliseconds),), milliseconds)
