"""What is understood of spoken audio. No speech is recognised here: transcripts are given, or none.

Committed audio is heard in order. Ears without a script understand nothing and say only how long
it was; scripted ones say what the script says next, then fall back to that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol, TypeAlias

import attrs

__all__ = ["DeafEars", "Ears", "HearingFailed", "ScriptedEars", "describe_audio"]


@attrs.frozen
class HearingFailed:
    """Transcription of this piece fails: ``…input_audio_transcription.failed``."""

    code: str = "audio_unintelligible"
    message: str = "The audio could not be transcribed."


Heard: TypeAlias = str | HearingFailed | None


class Ears(Protocol):
    """Whoever listens. One pair of ears serves all connections of a server."""

    def hear(self) -> Heard:
        """What the next piece of audio says: its words, a failure, or None if nobody can tell."""
        ...


class DeafEars:
    """Understand nothing."""

    def hear(self) -> Heard:
        """Always None."""
        return None


class ScriptedEars:
    """Understand what a list says, one entry for each committed piece of audio."""

    def __init__(self, transcripts: Iterable[str | HearingFailed]) -> None:
        self._transcripts = deque(transcripts)

    def hear(self) -> Heard:
        """The next entry; None when there is none left."""
        return self._transcripts.popleft() if self._transcripts else None


def describe_audio(audio_ms: float) -> str:
    """The transcript of audio that nobody understood."""
    return f"({audio_ms / 1000:.1f} seconds of audio)"
