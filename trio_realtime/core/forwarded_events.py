"""Server events that change nothing in the core: each becomes one session event."""

from __future__ import annotations

from collections.abc import Sequence

from trio_realtime import events as ev
from trio_realtime.wire import (
    InputAudioBufferDtmfEventReceived,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    RateLimitsUpdated,
    WarningEvent,
)

from .effects import Effect


def rate_limits_updated(event: RateLimitsUpdated, _now: float) -> Sequence[Effect]:
    """Report the rate limits."""
    return (ev.RateLimitsUpdated(rate_limits=event.rate_limits),)


def speech_stopped(event: InputAudioBufferSpeechStopped, _now: float) -> Sequence[Effect]:
    """Report the end of the user's speech."""
    return (ev.SpeechStopped(item_id=event.item_id, audio_end_ms=event.audio_end_ms),)


def timeout_triggered(event: InputAudioBufferTimeoutTriggered, _now: float) -> Sequence[Effect]:
    """Report that the user did not speak for the configured time."""
    return (
        ev.InputAudioTimeoutTriggered(
            item_id=event.item_id,
            audio_start_ms=event.audio_start_ms,
            audio_end_ms=event.audio_end_ms,
        ),
    )


def dtmf_received(event: InputAudioBufferDtmfEventReceived, _now: float) -> Sequence[Effect]:
    """Report a key of the phone."""
    return (ev.DtmfReceived(key=event.event, received_at=event.received_at),)


def warning(event: WarningEvent, _now: float) -> Sequence[Effect]:
    """Report that something is not as requested."""
    details = event.warning
    return (ev.SessionWarning(message=details.message, code=details.code, param=details.param),)
