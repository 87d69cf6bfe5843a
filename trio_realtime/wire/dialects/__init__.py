"""Dialects: the spellings of the protocol that services speak.

A dialect translates between the frames of a service and the GA events that the rest of the library
uses. Nothing outside this package knows the names of another dialect.

* Outgoing: :meth:`Dialect.encode` writes an event in the dialect of the endpoint. What the dialect does not
  have is refused with its name.
* Incoming: a :class:`Decoder` understands the events of every dialect, whatever the endpoint announced.
  If a server speaks another dialect than announced, the decoder reports that once, as a
  :class:`~trio_realtime.wire.WarningEvent`: what is sent may not be understood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias, get_args

import attrs

from trio_realtime.wire.audio_delta import AudioDelta, read_audio_delta
from trio_realtime.wire.base import ClientEvent, JsonObject, ServerEvent
from trio_realtime.wire.codec import (
    encode,
    parse_frame,
    structure_server_event,
    to_json,
    unstructure,
)
from trio_realtime.wire.extra import with_extra
from trio_realtime.wire.server import WarningDetails, WarningEvent

from .detection import spoken_dialects
from .to_beta import (
    UnsupportedByDialect as UnsupportedByDialect,
    client_event_to_beta,
    server_event_to_beta as server_event_to_beta,
)
from .to_ga import client_event_to_ga as client_event_to_ga, server_event_to_ga
from .to_voice_live import client_event_to_voice_live

DialectName: TypeAlias = Literal["ga", "beta", "voice_live"]
"""``ga`` (OpenAI, Azure ``/openai/v1``), ``beta`` (Azure preview versions) or ``voice_live`` (Azure
Voice Live)."""

_TRANSLATIONS: Final[dict[str, Callable[[JsonObject], JsonObject]]] = {
    "beta": client_event_to_beta,
    "voice_live": client_event_to_voice_live,
}
_GA_DELTAS: Final = (
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
    "response.output_text.delta",
)


@attrs.frozen
class Dialect:
    """One spelling of the protocol.

    Args:
        name: the name of the dialect.
    """

    name: DialectName = attrs.field(
        default="ga", validator=attrs.validators.in_(get_args(DialectName))
    )

    def encode(self, event: ClientEvent) -> str:
        """Encode a client event as the text of a frame. Extra keys are merged last, as they are.

        Raises:
            UnsupportedByDialect: the dialect has no such setting.
            ValueError, TypeError: the event has a value that JSON does not have.
        """
        translate = _TRANSLATIONS.get(self.name)
        if translate is None:
            return encode(event)
        return to_json(with_extra(event, translate(unstructure(event))))

    def decoder(self) -> Decoder:
        """Return a decoder for one connection."""
        return Decoder(self.name)


class Decoder:
    """Decodes the frames of one connection.

    Args:
        announced: the dialect of the endpoint.
    """

    def __init__(self, announced: DialectName) -> None:
        self._announced = announced
        self._suspected: str | None = None
        self._may_warn = True

    def read_audio(self, frame: str | bytes, is_clean: Callable[[str], bool]) -> AudioDelta | None:
        """Decode an audio delta in the usual form; see :func:`.read_audio_delta`.

        Returns:
            The audio; ``None`` for a frame that :meth:`decode` must decode.
        """
        audio = read_audio_delta(frame, is_clean) if self._announced == "ga" else None
        if audio is not None:
            self._suspected = None
        return audio

    def decode(self, frame: str | bytes) -> Sequence[ServerEvent]:
        """Decode a frame. A frame of another dialect may stand for several events.

        Raises:
            FrameError: The frame is not valid JSON, or not an object.
        """
        raw = parse_frame(frame)
        if self._announced == "ga" and raw.get("type") in _GA_DELTAS:
            # The most frequent events need no translation.
            self._suspected = None
            events = [structure_server_event(raw)]
        else:
            events = self._translated(raw)
        for event in events:
            # Set afterwards: the hot path of the codec creates events without it.
            object.__setattr__(event, "frame", frame)
        return events

    def _translated(self, raw: JsonObject) -> list[ServerEvent]:
        events = [structure_server_event(ga) for ga in server_event_to_ga(raw)]
        return [*self._mismatch(raw), *events] if self._may_warn else events

    def _mismatch(self, raw: JsonObject) -> list[ServerEvent]:
        """Return a warning if this event shows that the server speaks another dialect."""
        tag, spoken = raw.get("type"), spoken_dialects(raw)
        if spoken is not None and self._announced in spoken:
            self._suspected = None
        elif spoken is not None:
            self._suspected = min(spoken)
        # A greeting alone proves nothing: xAI greets with a flat session and then speaks GA.
        decides = tag == "error" or (spoken is not None and tag != "session.created")
        if self._suspected is None or not decides:
            return []
        self._may_warn = False
        message = (
            f"the server speaks the {self._suspected} dialect, and the endpoint announced "
            f"{self._announced}: its events are understood, but settings may not take effect. Choose "
            f"the dialect with the endpoint, for example "
            f"Endpoint.compatible(url, dialect={self._suspected!r})"
        )
        return [WarningEvent(warning=WarningDetails(code="unexpected_dialect", message=message))]
