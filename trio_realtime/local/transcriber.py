"""Transcribers: they turn the user's audio into text.

The server recognizes no speech by itself. :class:`ScriptedTranscriber` takes transcripts from a
list; implement :class:`Transcriber` to use a real speech-to-text model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol, TypeAlias

import attrs

__all__ = [
    "ScriptedTranscriber",
    "Transcriber",
    "TranscriptionFailed",
    "TranscriptionResult",
    "describe_audio",
]


@attrs.frozen
class TranscriptionFailed:
    """A failed transcription: the ``error`` of ``…input_audio_transcription.failed``."""

    code: str = "audio_unintelligible"
    message: str = "The audio could not be transcribed."


TranscriptionResult: TypeAlias = str | TranscriptionFailed | None


class Transcriber(Protocol):
    """Transcribes user audio. One transcriber serves all connections of a server."""

    def transcribe(
        self, audio: bytes, *, audio_format: str, is_complete: bool
    ) -> TranscriptionResult:
        """Transcribe the audio of one user item.

        The server calls this once for each committed item, also when the session has no
        transcription model: the responder reads the transcript in place of the audio. If the
        session has a streaming transcription model, the server calls this first when speech
        starts, with the audio detected so far. Return None then to be called again with the
        complete audio.

        The call must not block the event loop.

        Args:
            audio: the audio of the item, in the input format of the session.
            audio_format: ``"audio/pcm"`` (16-bit little-endian mono at 24 kHz), ``"audio/pcmu"``
                or ``"audio/pcma"`` (G.711 at 8 kHz).
            is_complete: whether ``audio`` is all the audio of the item.

        Returns:
            The transcript, a failure, or None if the transcript is unknown. The server then
            describes how long the audio is.
        """
        ...


class ScriptedTranscriber:
    """A :class:`Transcriber` that returns the entries of a list in order, whatever the audio.

    Args:
        transcripts: one entry for each committed item.
    """

    def __init__(self, transcripts: Iterable[str | TranscriptionFailed]) -> None:
        self._transcripts = deque(transcripts)

    def transcribe(
        self,
        audio: bytes,  # noqa: ARG002 - the script ignores it
        *,
        audio_format: str,  # noqa: ARG002
        is_complete: bool,  # noqa: ARG002
    ) -> TranscriptionResult:
        """Return the next entry, or None if there is none left."""
        return self._transcripts.popleft() if self._transcripts else None


def describe_audio(audio_ms: float) -> str:
    """Return the transcript for audio whose words are unknown."""
    return f"({audio_ms / 1000:.1f} seconds of audio)"
