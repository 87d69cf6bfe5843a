"""What is understood of spoken audio. No speech is recognised here: transcripts are given, or none.

Committed audio is heard in order: the first piece says what the script says first, and so on. Of
what comes after the script nothing is understood; the service then says only how long it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol, TypeAlias

import attrs

__all__ = ["Transcriber", "TranscriptionFailed", "ScriptedTranscriber", "describe_audio"]


@attrs.frozen
class TranscriptionFailed:
    """Transcription of this piece fails: ``…input_audio_transcription.failed``."""

    code: str = "audio_unintelligible"
    message: str = "The audio could not be transcribed."


Heard: TypeAlias = str | TranscriptionFailed | None


class Transcriber(Protocol):
    """Whoever listens. One pair of ears serves all connections of a server."""

    def hear(self) -> Heard:
        """What the next piece of audio says: its words, a failure, or None if nobody can tell."""
        ...


class ScriptedTranscriber:
    """Understand what a list says, one entry for each committed piece of audio."""

    def __init__(self, transcripts: Iterable[str | TranscriptionFailed]) -> None:
        self._transcripts = deque(transcripts)

    def hear(self) -> Heard:
        """The next entry; None when there is none left."""
        return self._transcripts.popleft() if self._transcripts else None


def describe_audio(audio_ms: float) -> str:
    """The transcript of audio that nobody understood."""
    return f"({audio_ms / 1000:.1f} seconds of audio)"
