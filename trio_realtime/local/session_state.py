"""What the parts of one connection share."""

from __future__ import annotations

from typing import Any

import attrs

from .audio import FORMATS, AudioFormat
from .config import ServiceOptions
from .conversation import Conversation
from .responses import ResponseEnvironment
from .types import Json

__all__ = ["State"]


@attrs.define(eq=False)
class State:
    """The session as it is now, and the tools to work on it.

    Args:
        session: the effective session object. Replaced by an update, never changed in place.
        model: of the connection.
        now: the time of the input that is being worked on.
    """

    options: ServiceOptions
    stage: ResponseEnvironment
    session: Json
    model: str
    conversation_id: str
    now: float

    @property
    def conversation(self) -> Conversation:
        """The default conversation."""
        return self.stage.conversation

    @property
    def input(self) -> Json:
        """The session's ``audio.input``."""
        side: Json = self.session["audio"]["input"]
        return side

    @property
    def turn_detection(self) -> Json | None:
        """The session's turn detection; None for push-to-talk."""
        found: Json | None = self.input["turn_detection"]
        return found

    @property
    def input_format(self) -> AudioFormat:
        """How the client writes audio."""
        return FORMATS[self.input["format"]["type"]]

    @property
    def transcribes_only(self) -> bool:
        """Whether this is a transcription session, which has no responses."""
        return bool(self.session["type"] == "transcription")

    def emit(self, kind: str, /, **fields: Any) -> None:
        """Put out one server event."""
        self.stage.emit(kind, **fields)
