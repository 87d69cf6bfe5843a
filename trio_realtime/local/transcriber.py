"""Transcribers: they turn the user's audio into text.

The server recognizes no speech by itself. :class:`ScriptedTranscriber` takes transcripts from a
list; pass a function as the transcriber to use a real speech-to-text model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

import attrs

__all__ = [
    "ScriptedTranscriber",
    "Transcriber",
    "TranscriptionFailed",
    "TranscriptionRequest",
    "TranscriptionResult",
    "UserAudio",
    "describe_audio",
]


@attrs.frozen
class TranscriptionFailed:
    """A failed transcription: the ``error`` of ``…input_audio_transcription.failed``."""

    code: str = "audio_unintelligible"
    message: str = "The audio could not be transcribed."


TranscriptionResult: TypeAlias = str | TranscriptionFailed | None


@attrs.frozen
class UserAudio:
    """The audio of one user item.

    Args:
        data: the samples, in the input format of the session.
        format: ``"audio/pcm"`` (16-bit little-endian mono), ``"audio/pcmu"`` or ``"audio/pcma"``
            (G.711).
        sample_rate: samples per second: 8000 for G.711, and 24000 for PCM unless the session has
            another rate.
    """

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    format: str
    sample_rate: int


#: Transcribes the audio of one user item.
#:
#: The server calls it once for each committed item, also when the session has no transcription
#: model: the responder reads the transcript in place of the audio. A response whose context has the
#: item waits for the result.
#:
#: An async function runs in a task of the connection, and is cancelled when the connection ends. Any
#: other function runs in a worker thread, one call at a time for all connections. A connection
#: that ends does not wait for the thread.
#:
#: The result is the transcript, a failure, or None if the transcript is unknown: the server then
#: describes how long the audio is. An exception is logged, and fails the transcription.
Transcriber: TypeAlias = Callable[
    [UserAudio], "TranscriptionResult | Awaitable[TranscriptionResult]"
]


class ScriptedTranscriber:
    """A transcriber that returns the entries of a list in order, whatever the audio.

    The server calls it without a thread, and with a streaming transcription model already when
    speech starts.

    Args:
        transcripts: one entry for each committed item.
    """

    def __init__(self, transcripts: Iterable[str | TranscriptionFailed]) -> None:
        self._transcripts = deque(transcripts)

    def __call__(self, audio: UserAudio) -> TranscriptionResult:  # noqa: ARG002 - ignored
        """Return the next entry, or None if there is none left."""
        return self.next_transcript()

    def next_transcript(self) -> TranscriptionResult:
        """Return the next entry, or None if there is none left."""
        return self._transcripts.popleft() if self._transcripts else None


@attrs.frozen
class TranscriptionRequest:
    """Transcribe the audio of an item, and pass the result to :meth:`ServerProtocol.transcribed`."""

    item_id: str
    audio: UserAudio


def describe_audio(audio_ms: float) -> str:
    """Return the transcript for audio whose words are unknown."""
    return f"({audio_ms / 1000:.1f} seconds of audio)"
