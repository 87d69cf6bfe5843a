"""The settings of a media stream, and how a call ended."""

from __future__ import annotations

import math
from typing import Any, Final, Literal, TypeAlias

import attrs

from trio_realtime import SessionEnd
from trio_realtime.errors import ConfigurationError

from .stream import StreamStart

__all__ = ["CallEnd", "CallEndReason", "CallStatistics", "StreamSettings"]

_KEY: Final = "{key}"

CallEndReason: TypeAlias = Literal["hung_up", "session_ended", "refused", "failed"]
"""Why a call ended.

- ``hung_up``: the caller has hung up, or the connection of the media stream broke.
- ``session_ended``: the session has ended, and the caller has heard its last sentence.
- ``refused``: the stream did not begin as it should, for example without a valid token.
- ``failed``: opening the session, the session or a function of the application raised ``error``.
"""


def _seconds(_: Any, attribute: attrs.Attribute[float], value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or math.isnan(value) or value <= 0:
        raise ConfigurationError(f"{attribute.name} must be more than 0 seconds, got {value!r:.40}")


def _milliseconds(low: int, high: int) -> Any:
    def check(_: Any, attribute: attrs.Attribute[int], value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            raise ConfigurationError(
                f"{attribute.name} must be an int from {low} to {high} milliseconds, got {value!r:.40}"
            )

    return check


def _template(_: Any, attribute: attrs.Attribute[str | None], value: Any) -> None:
    if value is not None and (not isinstance(value, str) or _KEY not in value):
        raise ConfigurationError(
            f"{attribute.name} must be None or a text with {_KEY}, such as 'The caller pressed {_KEY}.', "
            f"got {value!r:.80}"
        )


@attrs.frozen(kw_only=True)
class StreamSettings:
    """The settings of a media stream.

    Attributes:
        input_ms: milliseconds of the caller's audio that are sent to the service at once, 20 to 200.
            Twilio sends 20 ms at once.
        mark_ms: milliseconds of the agent's audio between two marks, 20 to 5000. An interruption is
            reported to the service with this accuracy.
        max_ahead: seconds of the agent's audio that are sent before they are played.
        max_buffered: seconds of the agent's audio that may wait to be sent. Above that, the call fails
            with ``ConsumerTooSlow``.
        dtmf_message: a message of the user for each key that the caller presses, with ``{key}`` for the
            key; ``None`` for no message.
        start_timeout: seconds that the stream has to begin after its WebSocket was opened.
        mark_timeout: seconds to wait for a mark, after its audio should have been played, before the
            stream is closed.
        close_timeout: seconds that closing the WebSocket may take.

    Raises:
        ConfigurationError: a setting is out of range.
    """

    input_ms: int = attrs.field(default=40, validator=_milliseconds(20, 200))
    mark_ms: int = attrs.field(default=200, validator=_milliseconds(20, 5000))
    max_ahead: float = attrs.field(default=1.0, validator=_seconds)
    max_buffered: float = attrs.field(default=1800.0, validator=_seconds)
    dtmf_message: str | None = attrs.field(default=None, validator=_template)
    start_timeout: float = attrs.field(default=10.0, validator=_seconds)
    mark_timeout: float = attrs.field(default=2.0, validator=_seconds)
    close_timeout: float = attrs.field(default=2.0, validator=_seconds)

    def text_for(self, key: str) -> str | None:
        """Return the message for a key; ``None`` if there is none."""
        return None if self.dtmf_message is None else self.dtmf_message.replace(_KEY, key)


@attrs.frozen(kw_only=True)
class CallStatistics:
    """What went over a media stream.

    Attributes:
        received_ms: milliseconds of the caller's audio that arrived.
        lost_ms: milliseconds of the caller's audio that are missing, by Twilio's timestamps.
        dropped_ms: milliseconds of the caller's audio that were dropped, because the session took them
            too slowly or was not open yet.
        out_of_order: frames of the caller whose timestamps go back.
        sent_ms: milliseconds of the agent's audio that were sent.
        heard_ms: milliseconds of the agent's audio that were heard, by the marks.
        clears: how often an interruption has cleared Twilio's buffer.
        unknown_marks: marks that say nothing about what was heard, such as those after a ``clear``.
        malformed_messages: messages that were refused.
        keys: keys that the caller has pressed.
    """

    received_ms: float = 0.0
    lost_ms: float = 0.0
    dropped_ms: float = 0.0
    out_of_order: int = 0
    sent_ms: float = 0.0
    heard_ms: float = 0.0
    clears: int = 0
    unknown_marks: int = 0
    malformed_messages: int = 0
    keys: int = 0


@attrs.frozen(kw_only=True)
class CallEnd:
    """How a call ended.

    Attributes:
        reason: why it ended.
        start: the call; ``None`` if the stream did not begin.
        session_end: how the session ended; ``None`` if it was not opened.
        error: what made the call fail or be refused.
        statistics: what went over the stream.
    """

    reason: CallEndReason
    start: StreamStart | None = None
    session_end: SessionEnd | None = None
    error: Exception | None = None
    statistics: CallStatistics = attrs.field(factory=CallStatistics)
