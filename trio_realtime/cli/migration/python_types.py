"""The types of openai-agents that are needed to follow values through a program."""

from __future__ import annotations

MEMBER_TYPES = {
    "RealtimeRunner.run": "RealtimeSession",
    "RealtimeRunner(config=)": "RealtimeRunConfig",
    "RealtimeRunner.run(model_config=)": "RealtimeModelConfig",
    "RealtimeSession.enter": "RealtimeSession",
    "RealtimeSession.__aenter__": "RealtimeSession",
    "RealtimeSession.__aiter__": "RealtimeSessionEvent",
    "RealtimeSession.model": "RealtimeModel",
    "RealtimeSessionEvent.info": "RealtimeEventInfo",
    "RealtimeEventInfo.context": "agents.RunContextWrapper",
    "RealtimeModelConfig.initial_model_settings": "RealtimeSessionModelSettings",
    "RealtimeModelConfig.playback_tracker": "RealtimePlaybackTracker",
    "RealtimeRunConfig.model_settings": "RealtimeSessionModelSettings",
    "RealtimeRunConfig.guardrails_settings": "RealtimeGuardrailsSettings",
    "RealtimeRunConfig.tool_execution": "RealtimeToolExecutionConfig",
    "RealtimeSessionModelSettings.audio": "RealtimeAudioConfig",
    "RealtimeSessionModelSettings.input_audio_transcription": (
        "RealtimeInputAudioTranscriptionConfig"
    ),
    "RealtimeSessionModelSettings.input_audio_noise_reduction": (
        "RealtimeInputAudioNoiseReductionConfig"
    ),
    "RealtimeSessionModelSettings.turn_detection": "RealtimeTurnDetectionConfig",
    "RealtimeSessionModelSettings.reasoning": "RealtimeReasoningConfig",
    "RealtimeSessionModelSettings.tracing": "RealtimeModelTracingConfig",
    "RealtimeAudioConfig.input": "RealtimeAudioInputConfig",
    "RealtimeAudioConfig.output": "RealtimeAudioOutputConfig",
    "RealtimeAudioInputConfig.noise_reduction": "RealtimeInputAudioNoiseReductionConfig",
    "RealtimeAudioInputConfig.transcription": "RealtimeInputAudioTranscriptionConfig",
    "RealtimeAudioInputConfig.turn_detection": "RealtimeTurnDetectionConfig",
    "RealtimeAudio.audio": "RealtimeModelAudioEvent",
    "RealtimeRawModelEvent.data": "RealtimeModelEvent",
    "RealtimeHistoryAdded.item": "RealtimeItem",
    "RealtimeHistoryUpdated.history": "RealtimeItem",
    "RealtimeGuardrailTripped.guardrail_results": "agents.OutputGuardrailResult",
    "asyncio.create_task": "asyncio.Task",
}
"""What a field is, what a method returns or yields, and what an argument takes."""

CONFIG_KEYS = {
    "initial_model_settings": "RealtimeModelConfig",
    "model_settings": "RealtimeRunConfig",
    "guardrails_settings": "RealtimeRunConfig",
    "async_tool_calls": "RealtimeRunConfig",
    "tool_error_formatter": "RealtimeRunConfig",
    "model_name": "RealtimeSessionModelSettings",
    "input_audio_format": "RealtimeSessionModelSettings",
    "output_audio_format": "RealtimeSessionModelSettings",
    "input_audio_transcription": "RealtimeSessionModelSettings",
    "input_audio_noise_reduction": "RealtimeSessionModelSettings",
}
"""Keys by which a dictionary is recognized as a configuration, if nothing else tells."""

EVENT_TYPES = {
    "agent_start": "RealtimeAgentStartEvent",
    "agent_end": "RealtimeAgentEndEvent",
    "handoff": "RealtimeHandoffEvent",
    "tool_start": "RealtimeToolStart",
    "tool_end": "RealtimeToolEnd",
    "tool_approval_required": "RealtimeToolApprovalRequired",
    "audio": "RealtimeAudio",
    "audio_end": "RealtimeAudioEnd",
    "audio_interrupted": "RealtimeAudioInterrupted",
    "error": "RealtimeError",
    "history_added": "RealtimeHistoryAdded",
    "history_updated": "RealtimeHistoryUpdated",
    "guardrail_tripped": "RealtimeGuardrailTripped",
    "input_audio_timeout_triggered": "RealtimeInputAudioTimeoutTriggered",
    "raw_model_event": "RealtimeRawModelEvent",
}
"""The classes of session events, by ``type``."""

EVENT_FIELDS: dict[str, tuple[str, ...]] = {
    "RealtimeAgentStartEvent": ("agent",),
    "RealtimeAgentEndEvent": ("agent",),
    "RealtimeHandoffEvent": ("from_agent", "to_agent"),
    "RealtimeToolStart": ("agent", "tool", "arguments"),
    "RealtimeToolEnd": ("agent", "tool", "arguments", "output"),
    "RealtimeToolApprovalRequired": ("agent", "tool", "call_id", "arguments"),
    "RealtimeAudio": ("audio", "item_id", "content_index"),
    "RealtimeAudioEnd": ("item_id", "content_index"),
    "RealtimeAudioInterrupted": ("item_id", "content_index"),
    "RealtimeError": ("error",),
    "RealtimeHistoryAdded": ("item",),
    "RealtimeHistoryUpdated": ("history",),
    "RealtimeGuardrailTripped": ("guardrail_results", "message"),
    "RealtimeInputAudioTimeoutTriggered": (),
    "RealtimeRawModelEvent": ("data",),
}
"""The fields of each session event besides ``type`` and ``info``."""

MODEL_EVENT_TYPES = {
    "error": "RealtimeModelErrorEvent",
    "exception": "RealtimeModelExceptionEvent",
    "function_call": "RealtimeModelToolCallEvent",
    "audio": "RealtimeModelAudioEvent",
    "audio_done": "RealtimeModelAudioDoneEvent",
    "audio_interrupted": "RealtimeModelAudioInterruptedEvent",
    "input_audio_transcription_completed": "RealtimeModelInputAudioTranscriptionCompletedEvent",
    "input_audio_timeout_triggered": "RealtimeModelInputAudioTimeoutTriggeredEvent",
    "transcript_delta": "RealtimeModelTranscriptDeltaEvent",
    "output_text_delta": "RealtimeModelOutputTextDeltaEvent",
    "item_updated": "RealtimeModelItemUpdatedEvent",
    "item_deleted": "RealtimeModelItemDeletedEvent",
    "connection_status": "RealtimeModelConnectionStatusEvent",
    "end_of_stream": "RealtimeModelEndOfStreamEvent",
    "turn_started": "RealtimeModelTurnStartedEvent",
    "turn_ended": "RealtimeModelTurnEndedEvent",
    "usage": "RealtimeModelUsageEvent",
    "other": "RealtimeModelOtherEvent",
    "raw_server_event": "RealtimeModelRawServerEvent",
}
"""The classes of ``RealtimeRawModelEvent.data``, by ``type``."""

UNIONS: dict[str, tuple[str, ...]] = {
    "RealtimeSessionEvent": tuple(EVENT_TYPES.values()),
    "RealtimeModelEvent": tuple(MODEL_EVENT_TYPES.values()),
    "RealtimeItem": (
        *("SystemMessageItem", "UserMessageItem", "AssistantMessageItem"),
        "RealtimeToolCallItem",
    ),
    "RealtimeModel": ("OpenAIRealtimeWebSocketModel", "OpenAIRealtimeSIPModel"),
}
"""Unions and base classes, with their members. The tables list what members have in common once."""

GUESSES = {
    "session": "RealtimeSession",
    "runner": "RealtimeRunner",
    "playback_tracker": "RealtimePlaybackTracker",
}
"""What a variable is whose name ends so, if nothing else tells."""

COLLECTION_METHODS = frozenset(
    ("get", "pop", "items", "values", "keys", "setdefault", "update", "append", "popitem", "copy")
)
"""Methods of a dictionary or list of instances."""
