"""Server events that change nothing here: each is only told to the consumers, under its own name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trio_realtime import events as ev
from trio_realtime.wire import (
    InputAudioBufferDtmfEventReceived,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    RateLimitsUpdated,
    ServerEvent,
)

from .effects import Effect


def _rate_limits(event: RateLimitsUpdated, _now: float) -> Sequence[Effect]:
    return (ev.RateLimitsUpdated(rate_limits=event.rate_limits),)


def _speech_stopped(event: InputAudioBufferSpeechStopped, _now: float) -> Sequence[Effect]:
    return (ev.SpeechStopped(item_id=event.item_id, audio_end_ms=event.audio_end_ms),)


def _timeout(event: InputAudioBufferTimeoutTriggered, _now: float) -> Sequence[Effect]:
    return (
        ev.InputAudioTimeoutTriggered(
            item_id=event.item_id,
            audio_start_ms=event.audio_start_ms,
            audio_end_ms=event.audio_end_ms,
        ),
    )


def _dtmf(event: InputAudioBufferDtmfEventReceived, _now: float) -> Sequence[Effect]:
    return (ev.DtmfReceived(key=event.event, received_at=event.received_at),)


NOTICES: dict[type[ServerEvent], Callable[[Any, float], Sequence[Effect]]] = {
    RateLimitsUpdated: _rate_limits,
    InputAudioBufferSpeechStopped: _speech_stopped,
    InputAudioBufferTimeoutTriggered: _timeout,
    InputAudioBufferDtmfEventReceived: _dtmf,
}
