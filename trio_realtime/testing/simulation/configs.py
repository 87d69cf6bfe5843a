"""The configurations of the session and of the local server."""

from __future__ import annotations

import math

from trio_realtime import PCM24K, PCMU, ServerVad, SessionConfig, Transcription
from trio_realtime.config import InterruptionPolicy, ReconnectPolicy
from trio_realtime.local import ServerConfig

from .model import PlannedResponder, PlannedTranscriber, QuietSynthesizer
from .plan import Plan, Settings
from .subject import API_KEY, CLOSE_TIMEOUT, MAX_AUDIO_LATENCY, REQUEST_TIMEOUT

__all__ = ["server_config", "session_config"]


def server_config(plan: Plan) -> ServerConfig:
    """Return the configuration of the server of a plan."""
    settings = plan.settings
    return ServerConfig(
        responder=PlannedResponder(plan.replies),
        transcriber=PlannedTranscriber(settings.transcribing),
        synthesizer=QuietSynthesizer(),
        pacing=settings.pacing,
        session_seconds=settings.session_seconds,
        api_keys={API_KEY},
        interleave=settings.interleave,
        seed=str(plan.seed),
        epoch=1_700_000_000.0,
    )


def session_config(settings: Settings) -> SessionConfig:
    """Return the configuration of the session of a plan."""
    audio_format = PCMU if settings.audio_format == "pcmu" else PCM24K
    detection = ServerVad(
        interrupt_response=settings.interrupt_response if settings.barge_in else None
    )
    return SessionConfig(
        output_modalities=(settings.modality,),
        input_format=audio_format,
        output_format=audio_format,
        turn_detection=detection if settings.vad else None,
        transcription=Transcription(model="gpt-4o-transcribe"),
        interruption=InterruptionPolicy() if settings.barge_in else None,
        guardrail_audio_gate=settings.gated,
        guardrail_debounce=settings.debounce,
        reconnect=ReconnectPolicy(max_duration=math.inf, jitter=0.0)
        if settings.reconnects
        else None,
        request_timeout=REQUEST_TIMEOUT,
        close_timeout=CLOSE_TIMEOUT,
        max_buffered_events=settings.max_events,
        max_buffered_audio=settings.max_audio,
        max_audio_latency=MAX_AUDIO_LATENCY,
        max_outgoing_audio=settings.max_outgoing,
        max_outgoing_text=settings.max_outgoing,
    )
