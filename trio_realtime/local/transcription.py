"""Transcription of one piece of user audio: runs beside everything else, at its own pace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from .responses import ResponseEnvironment, split_tokens
from .transcriber import Heard, TranscriptionFailed, describe_audio
from .types import Json

__all__ = ["Hearing", "is_streaming_model"]

_TOKEN_SECONDS: Final = 0.03
_MS_PER_TOKEN: Final = 100
_STREAMING: Final = frozenset({"gpt-realtime-whisper", "gpt-live-transcribe"})
_BY_DURATION: Final = _STREAMING | {"whisper-1"}
_IN_ONE_PIECE: Final = frozenset({"whisper-1"})


def is_streaming_model(config: Json | None) -> bool:
    """Whether this transcription begins with the speech instead of with the commit."""
    return config is not None and config["model"] in _STREAMING


class Hearing:
    """The transcription of one item, from the first delta to ``completed`` or ``failed``.

    Args:
        item_id: the item, which a streaming model may name before it exists.
        config: the ``transcription`` of the session; None transcribes without a word.
        heard: what the ears understood.
        now: when it starts.
    """

    def __init__(
        self,
        stage: ResponseEnvironment,
        item_id: str,
        config: Json | None,
        heard: Heard,
        *,
        now: float,
    ) -> None:
        self.item_id = item_id
        self.heard = heard
        self.due: float | None = now if is_streaming_model(config) else None
        self._stage = stage
        self._config = config
        self._audio_ms: float | None = None
        self._performance = self._perform()
        self.is_over: bool = False

    @property
    def words(self) -> str | None:
        """What was understood; None if nobody can tell."""
        return self.heard if isinstance(self.heard, str) else None

    @property
    def transcript(self) -> str:
        """What ``completed`` will say."""
        return describe_audio(self._audio_ms or 0.0) if self.words is None else self.words

    def commit(self, audio_ms: float, *, now: float) -> None:
        """The audio is complete and so long."""
        self._audio_ms = audio_ms
        if self._config is not None:
            self.due = now if self.due is None else self.due

    def step(self, now: float) -> bool:
        """Emit the next piece. True when that was the last one and it holds the transcript."""
        wait = next(self._performance, None)
        if wait is not None:
            self.due = None if wait < 0 else now + wait
            return False
        self.due = None
        self.is_over = True
        return not isinstance(self.heard, TranscriptionFailed)

    def _perform(self) -> Iterator[float]:
        # A wait below zero stands for: until the commit.
        if self.words is None and self._audio_ms is None:
            yield -1.0
        if isinstance(self.heard, TranscriptionFailed):
            self._emit_failed(self.heard)
            return
        for token in self._tokens():
            self._emit_delta(token)
            yield _TOKEN_SECONDS / self._stage.pacing
        if self._audio_ms is None:
            yield -1.0
        self._emit_completed()

    def _tokens(self) -> list[str]:
        if self._model in _IN_ONE_PIECE:
            return [self.transcript] if self.transcript else []
        return split_tokens(self.transcript)

    @property
    def _model(self) -> str:
        return str(self._config["model"]) if self._config else ""

    def _emit_delta(self, delta: str) -> None:
        self._stage.emit(
            "conversation.item.input_audio_transcription.delta",
            item_id=self.item_id,
            content_index=0,
            delta=delta,
            obfuscation=self._stage.ids.obfuscation(delta),
        )

    def _emit_completed(self) -> None:
        self._stage.emit(
            "conversation.item.input_audio_transcription.completed",
            item_id=self.item_id,
            content_index=0,
            transcript=self.transcript,
            usage=self._usage(),
        )

    def _emit_failed(self, failure: TranscriptionFailed) -> None:
        error: Json = {"type": "transcription_error", "code": failure.code}
        error |= {"message": failure.message, "param": None}
        self._stage.emit(
            "conversation.item.input_audio_transcription.failed",
            item_id=self.item_id,
            content_index=0,
            error=error,
        )

    def _usage(self) -> Json:
        audio_ms = self._audio_ms or 0.0
        if self._model in _BY_DURATION:
            # Idle audio, of which nothing is understood on purpose, is free.
            return {
                "type": "duration",
                "seconds": math.ceil(audio_ms / 1000) if self.transcript else 0,
            }
        sound = int(audio_ms // _MS_PER_TOKEN)
        output = len(split_tokens(self.transcript)) + 2
        return {
            "type": "tokens",
            "total_tokens": sound + output,
            "input_tokens": sound,
            "input_token_details": {"text_tokens": 0, "audio_tokens": sound},
            "output_tokens": output,
        }
