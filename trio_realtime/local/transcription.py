"""Transcription of one user item. It runs concurrently with responses, at its own pace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from trio_realtime.models import without_snapshot

from .responses import ResponseEnvironment, split_tokens
from .transcriber import TranscriptionFailed, TranscriptionResult, describe_audio
from .types import Json

__all__ = ["ItemTranscription", "is_streaming_model"]

_TOKEN_SECONDS: Final = 0.03
_MS_PER_TOKEN: Final = 100
_STREAMING: Final = frozenset({"gpt-realtime-whisper", "gpt-live-transcribe"})
_BILLED_BY_DURATION: Final = _STREAMING | {"whisper-1"}
_WITHOUT_DELTAS: Final = frozenset({"whisper-1"})
#: The generator yields this delay to wait for the commit.
_UNTIL_COMMIT: Final = -1.0


def is_streaming_model(config: Json | None) -> bool:
    """Return whether transcription starts with the speech instead of with the commit."""
    return config is not None and without_snapshot(config["model"]) in _STREAMING


class ItemTranscription:
    """The transcription of one item, from the first delta to ``completed`` or ``failed``.

    Args:
        item_id: the item. A streaming model names it before the item exists.
        config: the ``transcription`` object of the session.

    Attributes:
        due: when to call :meth:`step` next; None while there is nothing to do.
        is_done: whether the last event was emitted.
    """

    def __init__(self, environment: ResponseEnvironment, item_id: str, config: Json) -> None:
        self.item_id = item_id
        self.due: float | None = None
        self.is_done: bool = False
        self._environment = environment
        self._model = without_snapshot(str(config["model"]))
        self._is_streaming = is_streaming_model(config)
        self._result: TranscriptionResult = None
        self._has_result = False
        self._audio_ms: float | None = None
        self._generator = self._generate()

    @property
    def result(self) -> TranscriptionResult:
        """What the transcriber returned; None if the words are unknown, or not known yet."""
        return self._result

    @property
    def _text(self) -> str | None:
        return self._result if isinstance(self._result, str) else None

    @property
    def transcript(self) -> str:
        """The ``transcript`` of the ``completed`` event."""
        return describe_audio(self._audio_ms or 0.0) if self._text is None else self._text

    def set_result(self, result: TranscriptionResult, *, now: float) -> None:
        """Set the result, which starts a streaming transcription also before the commit."""
        self._result = result
        self._has_result = True
        self._start_when_ready(now)

    def commit(self, audio_ms: float, *, now: float) -> None:
        """Record the length of the audio, and start or continue the transcription."""
        self._audio_ms = audio_ms
        self._start_when_ready(now)

    def _start_when_ready(self, now: float) -> None:
        is_ready = self._has_result and (self._is_streaming or self._audio_ms is not None)
        if is_ready and self.due is None:
            self.due = now

    def step(self, now: float) -> bool:
        """Emit the next event. Return True after a ``completed`` event."""
        delay = next(self._generator, None)
        if delay is not None:
            self.due = None if delay == _UNTIL_COMMIT else now + delay
            return False
        self.due = None
        self.is_done = True
        return not isinstance(self._result, TranscriptionFailed)

    def _generate(self) -> Iterator[float]:
        if self._text is None and self._audio_ms is None:
            yield _UNTIL_COMMIT
        if isinstance(self._result, TranscriptionFailed):
            self._emit_failed(self._result)
            return
        for token in self._tokens():
            self._emit_delta(token)
            yield _TOKEN_SECONDS / self._environment.pacing
        if self._audio_ms is None:
            yield _UNTIL_COMMIT
        self._emit_completed()

    def _tokens(self) -> list[str]:
        if self._model in _WITHOUT_DELTAS:
            return [self.transcript] if self.transcript else []
        return split_tokens(self.transcript)

    def _emit_delta(self, delta: str) -> None:
        self._environment.emit(
            "conversation.item.input_audio_transcription.delta",
            item_id=self.item_id,
            content_index=0,
            delta=delta,
            obfuscation=self._environment.ids.obfuscation(delta),
        )

    def _emit_completed(self) -> None:
        self._environment.emit(
            "conversation.item.input_audio_transcription.completed",
            item_id=self.item_id,
            content_index=0,
            transcript=self.transcript,
            usage=self._usage(),
        )

    def _emit_failed(self, failure: TranscriptionFailed) -> None:
        error: Json = {"type": "transcription_error", "code": failure.code}
        error |= {"message": failure.message, "param": None}
        self._environment.emit(
            "conversation.item.input_audio_transcription.failed",
            item_id=self.item_id,
            content_index=0,
            error=error,
        )

    def _usage(self) -> Json:
        audio_ms = self._audio_ms or 0.0
        if self._model in _BILLED_BY_DURATION:
            # The audio of an idle prompt has an empty transcript and costs nothing.
            return {
                "type": "duration",
                "seconds": math.ceil(audio_ms / 1000) if self.transcript else 0,
            }
        input_tokens = int(audio_ms // _MS_PER_TOKEN)
        output_tokens = len(split_tokens(self.transcript)) + 2
        return {
            "type": "tokens",
            "total_tokens": input_tokens + output_tokens,
            "input_tokens": input_tokens,
            "input_token_details": {"text_tokens": 0, "audio_tokens": input_tokens},
            "output_tokens": output_tokens,
        }
