"""State that the parts of one connection share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from .audio import AudioFormat
from .config import ServerConfig
from .conversation import Conversation
from .responses import ResponseEnvironment
from .transcriber import TranscriptionRequest
from .types import Json

__all__ = ["SessionState"]


@attrs.define(eq=False)
class SessionState:
    """The current session, and what the parts of the connection need to work on it.

    Args:
        config: configuration of the server.
        environment: what responses and transcriptions work on.
        session: the effective session object. An update replaces it; it never changes in place.
        model: model of the connection.
        conversation_id: id of the default conversation.
        now: time of the current input, in seconds.
        request_transcription: outputs a request, to which the caller of the protocol responds.
    """

    config: ServerConfig
    environment: ResponseEnvironment
    session: Json
    model: str
    conversation_id: str
    now: float
    request_transcription: Callable[[TranscriptionRequest], None]

    @property
    def conversation(self) -> Conversation:
        """The default conversation."""
        return self.environment.conversation

    @property
    def input(self) -> Json:
        """The ``audio.input`` of the session."""
        audio_input: Json = self.session["audio"]["input"]
        return audio_input

    @property
    def turn_detection(self) -> Json | None:
        """Turn detection of the session; None for push-to-talk."""
        detection: Json | None = self.input["turn_detection"]
        return detection

    @property
    def input_format(self) -> AudioFormat:
        """Format of the input audio."""
        return AudioFormat.from_json(self.input["format"])

    @property
    def is_transcription(self) -> bool:
        """Whether this is a transcription session, which has no responses."""
        return bool(self.session["type"] == "transcription")

    def emit(self, kind: str, /, **fields: Any) -> None:
        """Emit one server event."""
        self.environment.emit(kind, **fields)
